"""Drivers that are made to be killed: forked from a process that has imported everything.

    python -m tests.evolve.engine.chaos.drivers

reads one order a line, forks a driver for it, and says its process; it says so too when a driver
has ended, and how. The fork saves each of a hundred drivers the import of torch and Ray; the
process that forks has never connected to Ray, and holds no thread. `Zygote` is its other end.
"""

from __future__ import annotations

import base64
import os
import pickle
import random
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import evolve
from tests.evolve.engine.kills import ROOT, reached


@dataclass(frozen=True)
class Order:
    """What a driver is to do: begin the run in `folder`, or go on with it."""

    experiment: evolve.Experiment[Any]
    folder: Path
    workers: int = 4
    address: str | None = None
    elastic: bool = False


@dataclass
class Driver:
    """A driver at work."""

    pid: int
    words: Path  # its stderr
    zygote: Zygote

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, if it is there."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it lives."""
        return self.zygote.status(self.pid)

    def wait(self, patience: float = 300.0) -> int:
        """Its exit status, once it has ended."""
        end = time.monotonic() + patience
        while (status := self.status) is None:
            assert time.monotonic() < end, f"the driver goes on: {self.words.read_text()[-2000:]}"
            time.sleep(0.02)
        return status

    def ends_well(self, patience: float = 300.0) -> None:
        """Wait for its end; it reached its last birth."""
        status = self.wait(patience)
        assert status == 0, f"the driver ended with {status}: {self.words.read_text()[-4000:]}"


class Zygote:
    """The hold on the process that forks drivers."""

    def __init__(self, scratch: Path) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self._scratch = scratch
        self._ended: dict[int, int] = {}
        self._made = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.evolve.engine.chaos.drivers"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert self._said() == ["ready"]

    def start(self, order: Order) -> Driver:
        """A new driver."""
        self._made += 1
        words = self._scratch / f"driver-{self._made}.txt"
        text = base64.b64encode(pickle.dumps((order, words))).decode()
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        while True:
            said = self._said()
            if said[0] == "forked":
                return Driver(int(said[1]), words, self)
            self._note(said)

    def status(self, pid: int) -> int | None:
        """How `pid` has ended, if it has."""
        assert self._process.stdout is not None
        while select.select([self._process.stdout], [], [], 0)[0]:
            self._note(self._said())
        return self._ended.get(pid)

    def end(self) -> None:
        """Stop it; drivers that live are killed."""
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.communicate("", timeout=20)
        self._process.kill()

    def _said(self) -> list[str]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the zygote has ended by itself"
        return line.split()

    def _note(self, said: list[str]) -> None:
        assert said[0] == "ended", said
        self._ended[int(said[1])] = int(said[2])


@contextmanager
def zygote(scratch: Path) -> Iterator[Zygote]:
    """A process that forks drivers, and its end."""
    made = Zygote(scratch)
    try:
        yield made
    finally:
        made.end()


def survive(zygote: Zygote, order: Order, kills: int, seed: int) -> int:
    """Follow `order` to its end, killing its drivers up to `kills` times; kills that hit."""
    chance, hits, births = random.Random(seed), 0, order.experiment.births
    while True:
        driver = zygote.start(order)
        if hits < kills:
            reached(order.folder, births, kills - hits, chance, lambda: driver.status is not None)  # noqa: B023
            driver.kill()
        if hits == kills or driver.wait() == 0:
            driver.ends_well()
            return hits
        assert driver.status == -signal.SIGKILL, driver.words.read_text()[-4000:]
        hits += 1


def drive(order: Order, words: Path) -> None:
    """Be a driver; never returns."""
    status = 1
    try:
        out = os.open(words, os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 1)
        os.dup2(out, 2)
        resume = (order.folder / "ledger.sqlite").exists()
        evolve.run(
            order.experiment, order.folder, workers=order.workers, address=order.address,
            resume=resume, elastic=order.elastic,
        )  # fmt: skip
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def serve() -> None:
    """Fork a driver an order, until stdin ends."""
    import moocore  # noqa: F401  (what a driver needs is there before the fork)
    import ray  # noqa: F401
    import torch  # noqa: F401

    import evolve.engine.cluster.workers
    import evolve.engine.run  # noqa: F401
    from tests.evolve.engine.chaos import mischief  # noqa: F401

    say = os.fdopen(os.dup(1), "w", buffering=1)
    say.write("ready\n")
    living, pending = set[int](), b""
    while True:
        readable = select.select([0], [], [], 0.02)[0]
        if readable:
            got = os.read(0, 1 << 20)
            if not got:
                break
            *orders, pending = (pending + got).split(b"\n")
            for text in orders:
                order, words = pickle.loads(base64.b64decode(text))
                pid = os.fork()
                if pid == 0:
                    drive(order, words)
                living.add(pid)
                say.write(f"forked {pid}\n")
        for pid in sorted(living):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                living.discard(pid)
                say.write(f"ended {pid} {os.waitstatus_to_exitcode(status)}\n")
    for pid in living:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    serve()
