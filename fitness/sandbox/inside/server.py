"""The fork server: imports torch, numpy and scipy once, then forks a candidate a call.

Started by exec with a clean environment; it holds no secret, no data and no label. It talks to
its launcher by one socket of whole messages: what to be (once), then a call at a time, "kill"
while one runs, and the end of the launcher, on which it ends too. One thread, so that a fork of
it is a whole process.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
from typing import Any

from . import answering, confinement, kernel, root, seccomp
from .confinement import Confines

MESSAGE = 1 << 16  # bytes
_TRIAL = {"seconds": 10, "memory": 1 << 30, "file_bytes": 1 << 20}


def main(control_fd: int) -> None:
    """Serves until the launcher is gone."""
    control = socket.socket(fileno=control_fd)
    message, cgroups, _, _ = socket.recv_fds(control, MESSAGE, 2)
    settings = json.loads(message)
    sys.path += settings["packages"]
    try:
        server = _Server(control, cgroups, settings)
        server.settle(settings)
        fault = server.trial()
    except OSError as error:
        fault = str(error)
    if fault:
        control.send(json.dumps({"failed": fault}).encode())
        return
    if settings["warm"]:
        server.warm()
    control.send(json.dumps({"ready": server.ready()}).encode())
    while server.serve():
        pass


class _Server:
    """One launcher's server: how it confines, and the descriptors that it keeps."""

    def __init__(self, control: socket.socket, cgroups: list[int], settings: Any) -> None:
        self.control, self.cgroups = control, cgroups
        self.full = settings["level"] == "full"
        self.gpu = bool(settings["devices"])
        self.scratch, self.box = settings["scratch"], settings["box"]
        self.uid: int | None = None
        self.base = 0
        self.parts: list[str] = []
        self.kept: set[int] = set()  # descriptors that candidates inherit
        self.namespace = -1

    def settle(self, settings: Any) -> None:
        """Goes where it will serve from. Raises `OSError` where that is not permitted."""
        if not seccomp.supported():
            raise OSError("seccomp: this machine's architecture is not known to the sandbox")
        if self.full:
            self.parts.append(root.leave())
            self._become_first()
            self.namespace = os.open("/proc/self/ns/pid", os.O_RDONLY)
        elif settings["level"] == "other-user":
            _through_descriptors(self.kept)
        own = os.getuid() == 0 and "user" not in "".join(self.parts)
        if settings["level"] == "other-user" or (self.full and own):
            self.uid = settings["uid"]
            self.parts.append("own user")
        # what is in /proc is out of sight in a root of its own
        self.tasks = os.open("/proc/self/task", os.O_RDONLY)
        self.statm = os.open("/proc/self/statm", os.O_RDONLY)
        if self.full:
            root.change(
                settings["root"], settings["links"], settings["shown"], settings["devices"]
            )
            self.parts.append("own root")
        kernel.hide()
        self.parts += ["seccomp", "rlimits"]

    def _become_first(self) -> None:
        """Goes on as the first process of the new PID namespace; this one only waits for it."""
        pid = os.fork()
        if pid:
            self.control.close()
            kernel.hide()
            os.waitpid(pid, 0)
            os._exit(0)
        kernel.die_with_parent()

    def trial(self) -> str:
        """Confines a process that does nothing; "" or what the machine refused."""
        limits = {**_TRIAL, "box": self.box}
        pid, fault = self._fork(limits, os.open("/dev/null", os.O_WRONLY), ())
        os.waitpid(pid, 0)
        confinement.remove_box(self._confines(), self.box)
        return fault

    def warm(self) -> None:
        """`_warm`, with a directory for what torch writes when it is imported."""
        scratch = "/tmp" if self.full else self.scratch
        with tempfile.TemporaryDirectory(prefix="evolve-warm-", dir=scratch) as folder:
            tempfile.tempdir = folder
            _warm()

    def ready(self) -> dict[str, Any]:
        """What the launcher is told: the parts reached, and the number of threads (1)."""
        if self.full:
            root.close_tmp()
        gc.collect()
        gc.freeze()  # else collections in each fork would copy every page
        if not self.gpu:
            pages = int(os.pread(self.statm, 100, 0).split()[0])
            self.base = pages * os.sysconf("SC_PAGE_SIZE")
        return {"parts": self.parts, "threads": len(os.listdir(self.tasks))}

    def serve(self) -> bool:
        """One call; False if the launcher is gone."""
        message, fds, _, _ = socket.recv_fds(self.control, MESSAGE, 3)
        if not message:
            return False
        if message == b"kill":  # it crossed the end of the call before
            return True
        request, answer, output = fds
        limits = json.loads(message)
        pid, fault = self._fork(limits, output, (request, answer))
        for fd in (request, answer):
            os.close(fd)
        there, status, seconds = self._wait(pid)
        confinement.remove_box(self._confines(), limits["box"])
        told = {"fault": fault, "status": status, "seconds": seconds}
        if there:
            self.control.send(json.dumps(told).encode())
        return there

    def _wait(self, pid: int) -> tuple[bool, int, float]:
        """Whether the launcher is there; the exit status and the processor time of `pid`."""
        ended = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.register(self.control, select.POLLIN)
        there = True
        while ended not in [fd for fd, _ in poll.poll()]:
            there = self.control.recv(MESSAGE) == b"kill"
            os.kill(pid, signal.SIGKILL)
            if not there:
                poll.unregister(self.control)
        os.close(ended)
        _, status, usage = os.wait4(pid, 0)
        return there, status, usage.ru_utime + usage.ru_stime

    def _fork(self, limits: Any, output: int, request: tuple[int, ...]) -> tuple[int, str]:
        """The candidate, confined or ended; what the machine refused."""
        confinement.make_box(self._confines(), limits["box"])
        told, tell = os.pipe()
        if self.full:
            kernel.unshare(kernel.NEWPID)
        pid = os.fork()
        if not pid:
            self._be_candidate(limits, output, request, tell)
        if self.full:
            kernel.setns(self.namespace, kernel.NEWPID)
        os.close(tell)
        os.close(output)
        fault = os.read(told, MESSAGE).decode()
        os.close(told)
        return pid, fault

    def _be_candidate(self, limits: Any, output: int, request: tuple[int, ...], tell: int) -> None:
        """The forked process, to its end."""
        code = 1
        try:
            try:
                confinement.own_session(output, self.cgroups, {*self.kept, *request, tell})
                confinement.confine(self._confines(), limits, limits["box"])
            except OSError as error:
                os.write(tell, (str(error) or "refused").encode())
                os._exit(1)
            os.close(tell)
            if request:
                answering.answer(*request)
            code = 0
        finally:
            os._exit(code)

    def _confines(self) -> Confines:
        return Confines(self.full, self.uid, self.base, self.gpu)


def _through_descriptors(kept: set[int]) -> None:
    """Lets a user import from directories whose parents are closed to it.

    A virtual environment in a closed home is such: the path of each directory of packages
    becomes one that begins with an open descriptor.
    """
    through: dict[str, str] = {}
    for place in [path for path in sys.path if os.path.isdir(path)]:
        fd = os.open(place, os.O_PATH)
        kept.add(fd)
        through[place] = f"/proc/self/fd/{fd}"
    sys.path[:] = [through.get(path, path) for path in sys.path]
    for module in list(sys.modules.values()):  # packages look in their own folders first
        folders = vars(module).get("__path__")
        if isinstance(folders, list):
            for i, folder in enumerate(folders):
                parent, _, name = folder.rpartition("/")
                if parent in through:
                    folders[i] = f"{through[parent]}/{name}"


def _warm() -> None:
    """Imports what candidates will, and runs one step of an optimiser, without a trace in them."""
    import random

    import numpy as np
    import torch
    from scipy import optimize  # type: ignore[import-untyped]

    torch.set_num_threads(1)
    layers = [torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(8, 2)]
    model = torch.nn.Sequential(*layers)
    optimiser = torch.optim.Adam(model.parameters())
    loss: Any = torch.nn.functional.cross_entropy(
        model(torch.ones(2, 1, 4, 4)), torch.ones(2).long()
    )
    loss.backward()
    optimiser.step()
    optimize.minimize(lambda x: float((x * x).sum()), np.ones(2))
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  # the stream of code that seeds nothing
    torch.manual_seed(0)
