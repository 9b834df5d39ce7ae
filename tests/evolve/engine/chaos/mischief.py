"""Fitnesses that do to their worker what users' code does by accident. Imports no torch.

What was done is told apart by files in `scratch`, which all workers share: an evaluation that
finds its file there behaves.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evolve import Needs, Objective, Score
from evolve.genome import digest
from evolve.genomes.vector import Vector
from fitness.problems import dtlz2

MEMORY = 256 << 20  # bytes that a worker may take
CRASH, HANG, RAISE, GREEDY = "crash", "hang", "raise", "greedy"
GRIP, STOP, NONSENSE, STRANGE, EAT = "grip", "stop", "nonsense", "strange", "eat"
THREE = tuple(Objective(f"f{i + 1}") for i in range(3))


class Broken:
    """A fitness that no worker can unpickle: `how` is an exception there, or an end."""

    objectives, rungs, needs = THREE, (1,), Needs()

    def __init__(self, how: str) -> None:
        self.how = how

    def __reduce__(self) -> tuple[object, ...]:
        return _broken, (self.how,)

    def evaluate(self, genomes: Sequence[Vector], rung: int, seed: int) -> list[Score]:
        raise AssertionError("no worker has it")


def _broken(how: str) -> Broken:
    if _in_worker():
        if how == CRASH:
            os._exit(13)
        raise ImportError("the device driver is too old")
    return Broken(how)


def _in_worker() -> bool:
    return Path("/proc/self/cmdline").read_bytes().startswith(b"ray::")


class Strange(Exception):
    """An exception that cannot be pickled back: its arguments are not its signature."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"strange, {one} and {two}")


def do(deed: str) -> Score | None:
    """Do it to this process; a score if the deed is one."""
    if deed == CRASH:
        os._exit(13)
    if deed == HANG:
        time.sleep(3600)
    if deed == GRIP:  # in C, never letting go of the interpreter's lock
        sum(range(10**15))
    if deed == STOP:
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(3600)
    if deed == RAISE:
        raise RuntimeError("not today")
    if deed == STRANGE:
        raise Strange(1, 2)
    if deed == GREEDY:
        np.ones(8 * MEMORY, np.uint8)
    if deed == EAT:
        eaten = []
        for _ in range(40):
            eaten.append(np.ones(100 << 20, np.uint8))  # touched: it is there
            time.sleep(0.05)
        time.sleep(3600)
    if deed == NONSENSE:
        return Score((float("nan"), 1.0, 2.0))
    return None


@dataclass(frozen=True)
class Mischief:
    """DTLZ2, but a `share` of the genomes, told by their digest, do one of `deeds` at first.

    `once`: not by digest: the first evaluation of all does it, and no other. `seconds`: what an
    evaluation sleeps. While there is a file `hold` in `scratch`, none ends. `host`: what a worker
    takes its host to be, so that its driver cannot reach it but through Ray. `setup`: seconds that
    a worker takes to be ready.
    """

    scratch: Path
    deeds: tuple[str, ...] = (CRASH, HANG, RAISE, GREEDY)
    share: float = 0.07
    once: bool = False
    seconds: float = 0.002
    host: str = ""
    setup: float = 0.0
    needs: Needs = field(default_factory=lambda: Needs(memory=MEMORY, timeout=3.0))
    objectives: tuple[Objective, ...] = THREE
    rungs: tuple[int, ...] = (1,)

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.__dict__.update(state)
        if not _in_worker():
            return
        if self.host:
            host = self.host
            socket.gethostname = lambda: host
        (self.scratch / f"setup-{os.getpid()}").touch()
        time.sleep(self.setup)

    def evaluate(self, genomes: Sequence[Vector], rung: int, seed: int) -> list[Score]:
        return [self._score(genome) for genome in genomes]

    def _score(self, genome: Vector) -> Score:
        name = digest(genome)
        chosen = self.once or int(name[:8], 16) < self.share * 2**32
        deed = self.deeds[int(name[8:16], 16) % len(self.deeds)] if self.deeds else ""
        if self.deeds and chosen and self._first("once" if self.once else name, deed, name):
            done = do(deed)
            if done is not None:
                return done
        time.sleep(self.seconds)
        hold = self.scratch / "hold"
        if hold.exists():
            (self.scratch / f"held-{os.getpid()}").touch()
            while hold.exists():
                time.sleep(0.02)
        return Score(tuple(dtlz2(genome.values, 3)))

    def _first(self, name: str, deed: str, genome: str) -> bool:
        """Whether nobody was here before; leaves word of who is."""
        facts = {"deed": deed, "genome": genome, "pid": os.getpid(), "raylet": os.getppid()}
        text = json.dumps({**facts, "time": time.time()}).encode()
        try:
            file = os.open(self.scratch / f"did-{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return False
        os.write(file, text)
        os.close(file)
        return True

    def hold(self) -> None:
        """From now on no evaluation ends."""
        (self.scratch / "hold").touch()

    def release(self) -> None:
        """Let evaluations end again."""
        (self.scratch / "hold").unlink()

    def held(self) -> list[int]:
        """The processes of evaluations that were held at some time."""
        return [int(path.name.removeprefix("held-")) for path in self.scratch.glob("held-*")]

    def setups(self) -> list[int]:
        """The processes of workers that were being set up at some time."""
        return [int(path.name.removeprefix("setup-")) for path in self.scratch.glob("setup-*")]

    def done(self) -> list[Mapping[str, str | int | float]]:
        """Every deed that was done, with where and when."""
        return [json.loads(path.read_text() or "{}") for path in self.scratch.glob("did-*")]
