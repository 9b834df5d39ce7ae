"""The contract of workers, and the executor that runs in this process. Knows no Ray.

A worker unpacks genomes, calls `evaluate`, checks what came back. Whatever goes wrong becomes an
`Outcome`, never an exception in the driver: the loop decides what a failure means.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from evolve.genome import Genome, Packed, class_of, kind_of
from evolve.score import Fitness, Score, checked


@dataclass(frozen=True, eq=False)
class Job:
    """Genomes to be scored in one call: consecutive births, one rung, one fitness."""

    births: tuple[int, ...]  # or positions in the final table
    attempts: tuple[int, ...]
    epoch: int
    genomes: tuple[tuple[str, Packed], ...]  # class path and content
    rung: int
    seed: int
    fitness: int = 0  # which of the fitnesses the workers were started with


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a job: scores, or the kind of its failure and the words for it."""

    job: Job
    seconds: float
    worker: str
    scores: tuple[Score, ...] | None = None
    failure: str = ""  # exception | invalid | timeout | worker lost | out of memory
    detail: str = ""


class Workers(Protocol):
    """Where jobs run. At most `slots` are in flight."""

    @property
    def slots(self) -> int: ...
    @property
    def free(self) -> int:
        """How many more jobs `submit` takes now."""
        ...

    def submit(self, job: Job) -> None:
        """Start `job`; needs a free slot."""
        ...

    def wait(self) -> list[Outcome]:
        """Block until at least one job in flight has an outcome."""
        ...

    def close(self) -> None:
        """Stop everything that was started."""
        ...


def packed(genome: Genome) -> tuple[str, Packed]:
    """`genome` as it travels."""
    return kind_of(genome), genome.pack()


def evaluate(
    fitnesses: Sequence[Fitness[Any]], job: Job
) -> tuple[tuple[Score, ...] | None, str, str]:
    """(scores, failure, detail) of `job`; runs in a worker, raises nothing a user code can."""
    fitness = fitnesses[job.fitness]
    try:
        genomes = [class_of(kind).unpack(content) for kind, content in job.genomes]
        scores: object = fitness.evaluate(genomes, job.rung, job.seed)
        if not isinstance(scores, list) or not all(isinstance(score, Score) for score in scores):
            return None, "invalid", f"evaluate returned {scores!r:.200}, expected a list of Score"
        if len(scores) != len(genomes):
            words = f"evaluate returned {len(scores)} scores for {len(genomes)} genomes"
            return None, "invalid", words
        return tuple(checked(score, fitness.objectives) for score in scores), "", ""
    except MemoryError:
        return None, "out of memory", traceback.format_exc()
    except (Exception, SystemExit):  # a fitness that calls sys.exit ends itself, not the run
        return None, "exception", traceback.format_exc()


THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@contextmanager
def one_thread() -> Iterator[None]:
    """Pin numeric libraries, loaded or yet to load, to one thread: results depend on it."""
    from threadpoolctl import threadpool_limits

    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        with threadpool_limits(1):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass
class InProcess:
    """One slot, in this process. Enforces no timeout and survives no crash: a Ray worker does."""

    fitnesses: Sequence[Fitness[Any]]
    slots: int = 1
    _waiting: list[Job] = field(default_factory=list)

    @property
    def free(self) -> int:
        return self.slots - len(self._waiting)

    def submit(self, job: Job) -> None:
        self._waiting.append(job)

    def wait(self) -> list[Outcome]:
        job = self._waiting[0]
        start = time.perf_counter()
        with one_thread():
            scores, failure, detail = evaluate(self.fitnesses, job)
        self._waiting.remove(job)
        seconds = time.perf_counter() - start
        return [Outcome(job, seconds, "in process", scores, failure, detail)]

    def close(self) -> None:
        self._waiting.clear()
