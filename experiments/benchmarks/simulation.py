"""A thousand workers and a million births on paper: the real loop, ledger, log and search.

    python -m experiments.benchmarks.simulation [--quick] [--search NAME] [--births N] [--out DIR]

Only the workers are made up (`virtual_workers`): their scores are computed here, which is timed
apart. Almost every outcome comes alone, so the driver writes as many transactions as it ever may.

Figures are per birth, of the births since the row before; those of CPU time are read off the
driver's stack at ticks of its own clock. Utilisation is in virtual time and from the start. Not
shown: a network, pickling, Ray.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

from evolve import Experiment, Free, Genetic, Needs, Steady
from evolve.engine.log import Log
from evolve.engine.loop import Loop
from evolve.engine.workers import Outcome, Task
from evolve.genomes.vector import Box, Vector
from evolve.store.ledger import Ledger
from evolve.streams import Stream, rng_for
from experiments.benchmarks.overhead import fresh
from experiments.benchmarks.selection import figures, print_row
from experiments.benchmarks.virtual_workers import Simulated, Trouble
from fitness.problems import Problem, dtlz2, sphere
from operators.selection import NSGA3, Tournament, Truncation, das_dennis
from operators.vector import SBX, PolynomialMutation, Then

SLOTS, WINDOW, BIRTHS = 1_000, 4_000, 1_000_000
MARKS = (
    1_000,
    10_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
)  # births after which a row is printed
MORE = 1_000  # births of a resumed run
TICK = 0.005  # seconds of CPU time
PARTS = ("search", "ledger", "log", "loop", "fake workers")
MODULES = {
    "evolve.search": "search", "evolve.archive": "search", "operators": "search",
    "evolve.store": "ledger", "evolve.engine.log": "log", "evolve.engine.loop": "loop",
    "evolve.engine.restoring": "loop", "experiments.benchmarks.virtual_workers": "fake workers",
}  # fmt: skip


# --- where the driver's time goes --------------------------------------------------------------


class Meter:
    """CPU seconds of this process by part of the driver, from its stack at ticks of that clock."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Read until the end of the block, but for `paused` ones."""
        before = signal.signal(signal.SIGPROF, self._tick)
        try:
            self._last = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, TICK, TICK)
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            signal.signal(signal.SIGPROF, before)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What the block takes counts for nothing."""
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        yield
        self._last = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, TICK, TICK)

    def _tick(self, number: int, frame: FrameType | None) -> None:
        now = time.process_time()
        self.seconds[part_of(frame)] += now - self._last
        self._last = now


def part_of(frame: FrameType | None) -> str:
    """The part that the innermost frame belongs to which belongs to one."""
    while frame is not None:
        name = str(frame.f_globals["__name__"])
        for module, part in MODULES.items():
            if name == module or name.startswith(f"{module}."):
                return part
        frame = frame.f_back
    return "loop"


# --- a run -------------------------------------------------------------------------------------


def search(problem: Problem, window: int = WINDOW) -> Genetic[Vector]:
    """One objective: the best 100 live. Three: 92 on 91 directions, and beside them the front."""
    box, m = Box.of(0.0, 1.0, 10), problem.n_objectives
    size = 100 if m == 1 else 92
    return Genetic(
        founders=[Vector.random(box, rng_for(1, i, Stream.ASK)) for i in range(size)],
        operators=[PolynomialMutation() if m == 1 else Then(SBX(), PolynomialMutation())],
        selection=Truncation() if m == 1 else NSGA3(das_dennis(n_objectives=m, divisions=12)),
        mating=Tournament(),
        objectives=problem.objectives,
        size=size,
        pace=Steady(window),
    )


SINGLE, TRIPLE = Problem(sphere), Problem(dtlz2, n_objectives=3)
EXPERIMENTS: Mapping[str, Experiment[Vector]] = {
    "truncation": Experiment("truncation", partial(search, SINGLE), SINGLE, BIRTHS),
    "free": Experiment("free", partial(search, SINGLE), SINGLE, BIRTHS, order=Free()),
    "nsga3": Experiment("nsga3", partial(search, TRIPLE), TRIPLE, BIRTHS),
}


@dataclass(frozen=True)
class Mark:
    """How things stand after `told` births."""

    told: int
    born: int  # up to a window more
    cpu: Mapping[str, float]  # seconds by part
    wall: float
    memory: int  # bytes, the most that the process ever had
    ledger: int  # bytes
    utilisation: float
    elites: int


@dataclass
class Marking:
    """Called at each turn of a loop: takes a mark, and a copy of the ledger, when it is time."""

    out: Path
    ledger: Ledger
    workers: Simulated
    show: Callable[[Mark], None]
    meter: Meter = field(default_factory=Meter)
    loop: Loop | None = None
    wall: float = 0.0
    marks: list[Mark] = field(default_factory=list)
    _since: float = field(default_factory=time.perf_counter)

    def __call__(self) -> None:
        assert self.loop is not None
        following = next((n for n in MARKS if not self.marks or n > self.marks[-1].told), BIRTHS)
        if self.loop.told < min(following, self.loop.births):
            return
        if self.marks and self.marks[-1].told == self.loop.told:
            return
        self.wall += time.perf_counter() - self._since
        with self.meter.paused():
            self._mark(self.loop)
        self._since = time.perf_counter()

    def _mark(self, loop: Loop) -> None:
        self.marks.append(
            Mark(
                told=loop.told,
                born=self.ledger.births(),
                cpu=dict(self.meter.seconds),
                wall=self.wall,
                memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                ledger=sum(f.stat().st_size for f in self.out.rglob("*") if "log" not in f.name),
                utilisation=self.workers.busy / (self.workers.now * self.workers.slots),
                elites=len(loop.search.elites),
            )
        )
        self.show(self.marks[-1])
        copy = self.out.with_name(f"{self.out.name}-{loop.told}")
        copy.mkdir()
        self.ledger.copy_to(copy / "ledger.sqlite")


def simulated(name: str, births: int, out: Path) -> list[Mark]:
    """A whole run in `out`; prints a row a mark."""
    experiment = EXPERIMENTS[name]
    assert isinstance(experiment.fitness, Problem)
    workers = Simulated(experiment.fitness, SLOTS, Trouble())
    rows = Rows()
    with closing(Ledger.create(out, {})) as ledger, closing(Log(out / "log.jsonl")) as log:
        ledger.begin_epoch({})
        marking = Marking(out, ledger, workers, rows.row)
        loop = Loop(
            experiment, experiment.search(), ledger, workers, births,
            observe=log, turn=marking,
        )  # fmt: skip
        marking.loop = loop
        with marking.meter.running():
            loop.run()
        print(f"\nfailed attempts: {dict(workers.lost)}; refused as late: {ledger.late()}")
    return marking.marks


@dataclass
class Rows:
    """A table of marks; `past` is what figures per birth are taken from."""

    past: Mark = Mark(0, 0, dict.fromkeys(PARTS, 0.0), 0.0, 0, 0, 0.0, 0)

    def heads(self) -> None:
        heads = ["births told", *(f"{part}, µs" for part in PARTS[:4]), "driver, µs", "wall, µs"]
        heads += ["memory, MB", "ledger, bytes a birth", "utilisation", "elites"]
        print_row(heads)
        print_row(["---:"] * len(heads))

    def row(self, mark: Mark) -> None:
        if not self.past.told:
            self.heads()
        # Of the first rows many births are asked and not yet told, of the last ones the reverse.
        n = (mark.born + mark.told - self.past.born - self.past.told) / 2
        parts = [1e6 * (mark.cpu[part] - self.past.cpu[part]) / n for part in PARTS[:4]]
        cells = [f"{mark.told:,}", *(f"{us:.0f}" for us in parts), f"{sum(parts):.0f}"]
        cells += [f"{1e6 * (mark.wall - self.past.wall) / n:.0f}", f"{mark.memory / 1e6:.0f}"]
        cells += [f"{(mark.ledger - self.past.ledger) / n:.0f}", f"{mark.utilisation:.3f}"]
        print_row([*cells, f"{mark.elites:,}"])
        self.past = mark


# --- resuming ----------------------------------------------------------------------------------


class Dispatched(Exception):
    """The first task of a resumed run was handed out."""


@dataclass
class Stopping:
    """Workers that take no task."""

    slots: int = SLOTS

    def free(self, needs: Needs) -> int:
        return self.slots

    def submit(self, task: Task) -> None:
        raise Dispatched

    def wait(self, patience: float | None = None) -> list[Outcome]:
        return []

    def close(self) -> None: ...


def resumed(name: str, out: Path) -> tuple[float, float]:
    """Seconds to open the ledger in `out`, checking all of it, and from there to a dispatch."""
    experiment = EXPERIMENTS[name]
    start = time.perf_counter()
    with closing(Ledger.open(out, write=True)) as ledger:
        opened = time.perf_counter()
        ledger.begin_epoch({})
        births = ledger.births() + MORE
        try:
            Loop(experiment, experiment.search(), ledger, Stopping(), births).run()
        except Dispatched:
            return opened - start, time.perf_counter() - opened
    raise AssertionError("a run with births to come dispatches one")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="10,000 births")
    parser.add_argument("--search", choices=EXPERIMENTS, default="truncation")
    parser.add_argument("--births", type=int, default=BIRTHS)
    parser.add_argument("--out", type=Path, help="a new folder for ledgers")
    given = parser.parse_args(arguments)
    births = 10_000 if given.quick else given.births
    print(f"{given.search}: {births:,} births, {SLOTS:,} workers, window {WINDOW:,}\n")
    with tempfile.TemporaryDirectory() as scratch:
        out = (given.out or Path(scratch)) / given.search
        marks = simulated(given.search, births, out)
        print()
        print_row(["births told", "open and check, s", "to the first dispatch, s"])
        print_row(["---:"] * 3)
        for mark in marks:
            copy = out.with_name(f"{out.name}-{mark.told}")
            cells = [figures([seconds]) for seconds in fresh(resumed, given.search, copy)]
            print_row([f"{mark.told:,}", *cells])
    return 0


if __name__ == "__main__":
    sys.exit(main())
