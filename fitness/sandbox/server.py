"""The launcher's end of one fork server: started, asked, killed. The trusted side.

What a candidate sends is read by `answers`, never believed. Knows no fitness.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, final

from evolve.errors import IsolationError, WorkerError
from fitness.sandbox import cgroup
from fitness.sandbox.call import Answer, Call
from fitness.sandbox.exchange import Exchange, judged, received
from fitness.sandbox.inside import kernel, root
from fitness.sandbox.isolation import Isolation, Level
from fitness.sandbox.visible import visible

_STARTUP = 300.0  # seconds: torch's first import from a busy network disk
_GRACE = 5.0  # seconds that it has to end
_BOOT = (
    "import sys; sys.path.append(sys.argv[1]); from inside.server import main; "
    "sys.path.pop(); main(int(sys.argv[2]))"
)
_FIRST_UID, _N_UIDS = 61184, 4336  # what Linux keeps for services that live for a while
_DEVICES = "nvidia*"
_LEFT = re.compile(r"evolve-(?:sandbox|box)-(\d+)-\w+")
_OLD = 86400.0  # seconds; a process of another container that shares the folder looks gone

_numbers = itertools.count()


def started(
    ceiling: Level = Level.FULL,
    *,
    warm: bool = True,
    gpu: bool = False,
    prefix: Sequence[str] = (),
) -> Server:
    """A server at the highest level up to `ceiling` that this machine allows.

    warm: it imports torch, numpy and scipy first, so that candidates have not to. gpu: they see
    the NVIDIA devices; such a server is never warm. prefix: a command that starts the command
    after it, as another user for example.
    Raises `IsolationError` if not even PLAIN is reached, `WorkerError` without a GPU for `gpu`.
    """
    devices = sorted(str(path) for path in Path("/dev").glob(_DEVICES)) if gpu else []
    if gpu and not devices:
        raise WorkerError(
            "Limits.gpu is set, but this machine has no /dev/nvidia*; run on a node with a GPU "
            "or leave it out."
        )
    below: list[str] = []
    for level in sorted((level for level in Level if level <= ceiling), reverse=True):
        server = Server(level, devices, warm and not gpu, prefix)
        try:
            fault = server.settled(tuple(below))
        except BaseException:
            server.stop()
            raise
        if not fault:
            return server
        below.append(f"{level.word}: {fault}")
        server.stop()
    raise IsolationError(
        "This machine cannot isolate evolved code at all (Linux with seccomp, torch, numpy and "
        "scipy are needed): " + "; ".join(below)
    )


@final
class Server:
    """One process that forks candidates; not for two threads at once."""

    isolation: Isolation

    def __init__(
        self, level: Level, devices: Sequence[str], warm: bool, prefix: Sequence[str]
    ) -> None:
        self.level: Final = level
        if sys.platform != "linux":
            raise IsolationError(
                f"The sandbox needs Linux, this is {sys.platform}; run in a Linux machine."
            )
        kernel.hide()  # candidates of this process's user shall not read its environment
        _tidy(Path(tempfile.gettempdir()))
        self._base = tempfile.mkdtemp(prefix=f"evolve-sandbox-{os.getpid()}-")
        self._cgroup = cgroup.make()
        self._memory = 0
        self._log = os.memfd_create("log")
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        here = str(Path(__file__).parent)
        command = [sys.executable, "-s", "-S", "-P", "-B", "-c", _BOOT, here, str(theirs.fileno())]
        self._process = subprocess.Popen(
            [*prefix, *command],
            env=_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
        theirs.close()
        self._tell(self._settings(devices, warm), self._cgroup.entrances if self._cgroup else ())

    def _settings(self, devices: Sequence[str], warm: bool) -> dict[str, Any]:
        seen = visible()
        return {
            "level": self.level.word,
            "devices": list(devices),
            "warm": warm,
            "root": self._base,
            "scratch": tempfile.gettempdir(),
            "box": self._box(),
            "uid": _FIRST_UID + (os.getpid() + next(_numbers)) % _N_UIDS,
            "links": seen.links,
            "shown": seen.shown,
            "packages": seen.packages,
        }

    def _box(self) -> str:
        """Where a candidate's directory shall be: one that nobody can have made before."""
        if self.level is Level.FULL:
            return root.BOX
        name = f"evolve-box-{os.getpid()}-{secrets.token_hex(8)}"
        return os.path.join(tempfile.gettempdir(), name)

    def _tell(self, message: Any, entrances: Sequence[Path] = ()) -> None:
        fds = [os.open(path, os.O_WRONLY) for path in entrances]
        with suppress(BrokenPipeError, ConnectionResetError):  # seen when its answer is awaited
            socket.send_fds(self._control, [json.dumps(message).encode()], fds)
        for fd in fds:
            os.close(fd)

    def settled(self, below: tuple[str, ...]) -> str:
        """Waits until it serves; then "", else what the machine refused it."""
        told = self._told(_STARTUP)
        if told is None:
            return f"its server did not start: {self._said()}"
        if "failed" in told:
            return str(told["failed"])
        parts = [*told["ready"]["parts"]]
        if self._cgroup:
            parts.append(f"cgroup v{self._cgroup.version}")
        self.n_threads = int(told["ready"]["threads"])
        self.isolation = Isolation(self.level, tuple(parts), below)
        return ""

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it can take a call."""
        return self._process.poll() is None

    def stop(self) -> None:
        """It and all that it forked are gone."""
        self._control.close()  # on which it ends
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._log)
        if self._cgroup:
            self._cgroup.remove()
        with suppress(OSError):
            os.rmdir(self._base)

    def run(self, call: Call) -> Answer:
        """One call. Raises `IsolationError` if the machine refuses now what it allowed before."""
        limits = call.limits
        if self._cgroup and limits.memory != self._memory:
            with suppress(OSError):  # what the last candidate left is not gone yet: as it was
                self._cgroup.limit(limits.memory)
                self._memory = limits.memory
        n_killed = self._cgroup.n_killed() if self._cgroup else 0
        began = time.monotonic()
        exchange = Exchange(self._control, call, self._box())
        told = exchange.conclude()
        seconds = time.monotonic() - began
        starved = bool(self._cgroup and self._cgroup.n_killed() > n_killed)
        if told is None:
            self._process.kill()
            self._process.wait()
        elif told["fault"]:
            raise IsolationError(f"The sandbox cannot confine any more: {told['fault']}")
        value, error, trace = judged(exchange, told, limits, starved)
        return Answer(value, error, trace, exchange.output.text(), seconds, self.isolation)

    def _told(self, seconds: float) -> dict[str, Any] | None:
        """Its next message; None if it ended, or said nothing for so long."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        if not poll.poll(1000 * seconds):
            return None
        return received(self._control)

    def _said(self) -> str:
        """The last line of what it printed."""
        size = os.fstat(self._log).st_size
        said = os.pread(self._log, 2000, max(size - 2000, 0)).decode(errors="replace")
        return said.strip().rpartition("\n")[2] or f"silent for {_STARTUP:g} s"


def _tidy(scratch: Path) -> None:
    """Removes what launchers that were killed left there more than a day ago."""
    for folder in scratch.glob("evolve-*-*-*"):
        left = _LEFT.fullmatch(folder.name)
        if left and not Path(f"/proc/{left[1]}").exists():
            with suppress(OSError, RecursionError):
                if time.time() - folder.stat().st_mtime > _OLD:
                    shutil.rmtree(folder, ignore_errors=True)


def _environment() -> dict[str, str]:
    """All that a server and its candidates know of ours: nothing that is secret."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    fixed = {"PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "USER": "box", "HOME": "/nonexistent"}
    libraries = os.environ.get("LD_LIBRARY_PATH")
    given = {"LD_LIBRARY_PATH": libraries} if libraries else {}
    return dict.fromkeys(names, "1") | fixed | given
