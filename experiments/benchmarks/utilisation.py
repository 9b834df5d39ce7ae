"""How busy workers are under a window of births, and under the barrier of generations.

    python -m experiments.benchmarks.utilisation [--workers 8] [--births 993] [--out DIR]

Evaluations that sleep, log-normal of mean 250 ms and sigma 0.5, in ordered mode. The window is
four births a worker, a generation as large, and each pace makes one run on one local Ray cluster.
Birth n is a new random point in both, whatever is told, so both sleep the same times in the same
order. Utilisation: the seconds that evaluations took, as their workers measured them, over workers
times seconds, from when all workers have begun until the last dispatch; from the ledger alone.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evolve import Experiment, Generational, Genetic, Needs, Record, Steady
from evolve.engine.hire import Options
from evolve.engine.run import conduct
from evolve.genomes.vector import Box, Vector
from experiments.benchmarks.selection import print_row
from fitness.problems import Problem, sphere
from operators.selection import Tournament, Truncation

SECONDS, TAIL = 0.25, 0.5
AHEAD = 4  # births a worker, in flight or in line
LEAST = 0.95  # of the window

BOX = Box.of(-1.0, 1.0, 10)


@dataclass(frozen=True)
class Span:
    """One evaluation: its worker, when it was sent, and the seconds that it took."""

    worker: str
    sent: float
    seconds: float


@dataclass(frozen=True)
class Anew:
    """A random point, whatever its parent: a birth's duration depends on its number only."""

    name: str = "anew"
    arity: int = 1
    needs: Needs | None = None

    def vary(self, parents: Sequence[Record[Vector]], rng: np.random.Generator) -> Vector:
        return Vector.random(BOX, rng)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--births", type=int, default=993)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--out", type=Path, help="where the two ledgers stay")
    given = parser.parse_args(arguments)
    ahead = AHEAD * given.workers
    paces: dict[str, Steady | Generational] = {
        f"window of {ahead}": Steady(ahead),
        f"generations of {ahead}": Generational(ahead),
    }
    print_row(["pace", "workers", "births", "utilisation (goal)"])
    print_row(["---", "---:", "---:", "---:"])
    with tempfile.TemporaryDirectory() as scratch:
        for pace_name, pace in paces.items():
            out = (given.out or Path(scratch)) / pace_name.replace(" ", "-")
            measure(experiment(pace, given.births, given.seconds), out, given.workers)
            found = utilisation(spans(out), given.workers)
            cell = f"{found:.3f}"
            if isinstance(pace, Steady):
                cell += f" (≥ {LEAST:g}: {'met' if found >= LEAST else 'MISSED'})"
            print_row([pace_name, str(given.workers), str(given.births), cell])
    return 0


def experiment(pace: Steady | Generational, births: int, seconds: float) -> Experiment[Vector]:
    """One founder, then `pace`; eight such workers fit on one processor, as they sleep."""
    problem = Problem(sphere, seconds=seconds, tail=TAIL, needs=Needs(cpus=0.1))

    def search() -> Genetic[Vector]:
        return Genetic(
            founders=[Vector.random(BOX, np.random.default_rng(0))],
            operators=[Anew()],
            selection=Truncation(),
            mating=Tournament(),
            objectives=problem.objectives,
            size=20,
            pace=pace,
        )

    return Experiment("utilisation", search, problem, births)


def measure(run: Experiment[Vector], out: Path, workers: int) -> None:
    """Make `run` on a cluster of its own."""
    conduct(run, out, Options(workers))


def spans(out: Path) -> list[Span]:
    """All evaluations of the run in `out`, as sent."""
    query = (
        "SELECT worker, started, seconds FROM attempt JOIN score USING (birth)"
        " WHERE outcome = 'scored' ORDER BY started"
    )
    with closing(sqlite3.connect(out / "ledger.sqlite")) as database:
        return [Span(*row) for row in database.execute(query)]


def utilisation(spans: Sequence[Span], workers: int) -> float:
    """Busy seconds / (workers × seconds) from each worker's first evaluation to the last sending.

    Spans are clipped to that time. Raises ValueError if a worker has no evaluation.
    """
    first: dict[str, float] = {}
    for span in sorted(spans, key=lambda span: span.sent):
        first.setdefault(span.worker, span.sent)
    if len(first) != workers:
        raise ValueError(f"{len(first)} workers evaluated, expected {workers}; give more births.")
    start, end = max(first.values()), max(span.sent for span in spans)
    busy = sum(max(0.0, min(s.sent + s.seconds, end) - max(s.sent, start)) for s in spans)
    return busy / (workers * (end - start))


if __name__ == "__main__":
    sys.exit(main())
