"""The contract of workers, and the executor that runs in this process. Knows no Ray.

A worker unpacks genomes, calls `evaluate` (or an operator's `vary`), checks what came back.
Whatever goes wrong becomes an `Outcome`, never an exception in the driver: the loop decides what
a failure means.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from evolve.errors import ChatError, Halt, Infertile
from evolve.failure import Failure
from evolve.genome import Genome, Json, Packed, class_of, digest, kind_of
from evolve.score import Fitness, Needs, Nested, Record, Score, checked, text
from evolve.search.protocol import Plan
from evolve.streams import Stream, rng_for
from evolve.variation import Operator, offspring, placed


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
    needs: Needs = field(default_factory=Needs)
    known: tuple[Score | None, ...] = ()  # at the rung below; empty: nothing is


@dataclass(frozen=True, eq=False)
class Variation:
    """A child to be made of parents by an operator with `needs`; one birth."""

    births: tuple[int]
    attempts: tuple[int]
    epoch: int
    operator: Operator[Any]
    parents: tuple[Record[Any], ...]  # and lessons; as `sent`: their genome is packed
    seed: int  # the run's
    needs: Needs = field(default_factory=Needs)
    draw: int = 0  # how often the operator has found no child for them


DRAWS = 64  # streams a birth

Task: TypeAlias = Job | Variation
Child: TypeAlias = "tuple[str, Packed]"


@dataclass(frozen=True, eq=False)
class Answer:
    """What a worker makes of a task: scores or a child, or what failed and the words for it."""

    scores: tuple[Score, ...] | None = None
    child: Child | None = None
    facts: Mapping[str, Json] = field(default_factory=dict)  # of the child's making
    failure: Failure | None = None
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a task, and where."""

    task: Task
    answer: Answer
    worker: str


class Workers(Protocol):
    """Where tasks run."""

    @property
    def slots(self) -> int:
        """How many evaluations are in flight at most."""
        ...

    def free(self, needs: Needs) -> int:
        """How many more tasks of these needs `submit` takes now."""
        ...

    def submit(self, task: Task) -> None:
        """Start `task`; needs a free slot."""
        ...

    def wait(self, patience: float | None = None) -> list[Outcome]:
        """Block until a task in flight has an outcome or a worker gets free; may return [].

        Where work goes on elsewhere, it waits `patience` seconds at most.
        """
        ...

    def close(self) -> None:
        """Stop everything that was started."""
        ...


def packed(genome: Genome) -> tuple[str, Packed]:
    """`genome` as it travels."""
    return kind_of(genome), genome.pack()


def sent(record: Record[Genome]) -> Record[Any]:
    """`record` as it travels: its genome packed, its heritage read."""
    score = record.score
    if score.heritage is not None:
        heritage = {name: np.array(array) for name, array in score.heritage.items()}
        score = replace(score, heritage=heritage)
    traveller: Any = packed(record.genome)
    return replace(record, genome=traveller, score=score)


def variation(
    plan: Plan[Any], key: tuple[int, int, int], seed: int, needs: Needs, draw: int, folder: Path
) -> Variation:
    """The task of (birth, attempt, epoch) `key`; what its operator records goes to `folder`."""
    birth, attempt, epoch = key
    records = tuple(sent(each) for each in (*plan.parents, *plan.lessons))
    operator = placed(plan.operator, folder)
    return Variation((birth,), (attempt,), epoch, operator, records, seed, needs, draw)


def unpacked(traveller: Child) -> Genome:
    """The genome that `packed` took apart, sharing no array with it."""
    kind, content = traveller
    arrays = {name: np.array(content.arrays[name]) for name in sorted(content.arrays)}
    return class_of(kind).unpack(Packed(content.facts, arrays))


def failed(answer: Answer) -> Score:
    """A failed score: its kind and last line as the error, the whole text in the notes."""
    lines = answer.detail.strip().splitlines()
    error = f"{answer.failure}: {lines[-1] if lines else ''}"
    return Score.failed(error, {"detail": answer.detail})


def answered(fitnesses: Sequence[Fitness[Any]], task: Task) -> Answer:
    """What becomes of `task`; runs in a worker, raises nothing that a user's code can."""
    start = time.perf_counter()
    try:
        answer = _varied(task) if isinstance(task, Variation) else _scored(fitnesses, task)
    except MemoryError:
        answer = Answer(failure=Failure.OUT_OF_MEMORY, detail=traceback.format_exc())
    except Infertile as error:
        answer = Answer(failure=Failure.INFERTILE, detail=str(error), facts=error.facts)
    except ChatError as error:
        answer = Answer(failure=Failure.INFERTILE, detail=str(error))
    except Halt as error:
        answer = Answer(failure=Failure.HALTED, detail=str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit, a panic in Rust: it ends itself only
        kind = Failure.OUT_OF_MEMORY if _is_memory(error) else Failure.EXCEPTION
        answer = Answer(failure=kind, detail=traceback.format_exc())
    return replace(answer, detail=text(answer.detail), seconds=time.perf_counter() - start)


def _scored(fitnesses: Sequence[Fitness[Any]], job: Job) -> Answer:
    fitness = fitnesses[job.fitness]
    genomes = [unpacked(each) for each in job.genomes]
    scores: object
    if isinstance(fitness, Nested) and any(job.known):
        scores = fitness.extend(genomes, job.known, job.rung, job.seed)
    else:
        scores = fitness.evaluate(genomes, job.rung, job.seed)
    if not isinstance(scores, list) or not all(isinstance(score, Score) for score in scores):
        words = f"evaluate returned {scores!r:.200}, expected a list of Score"
        return Answer(failure=Failure.INVALID, detail=words)
    if len(scores) != len(genomes):
        words = f"evaluate returned {len(scores)} scores for {len(genomes)} genomes"
        return Answer(failure=Failure.INVALID, detail=words)
    return Answer(scores=tuple(_own(checked(score, fitness.objectives)) for score in scores))


def _own(score: Score) -> Score:
    """`score` with nothing in it that the fitness may still hold and write into."""
    if score.error is not None:
        return score
    return replace(
        score,
        metrics=dict(score.metrics),
        notes=dict(score.notes),
        samples=score.samples and tuple(np.array(array) for array in score.samples),
        heritage=score.heritage and {n: np.array(array) for n, array in score.heritage.items()},
    )


def _varied(task: Variation) -> Answer:
    parents = [replace(parent, genome=unpacked(parent.genome)) for parent in task.parents]
    # Another try draws anew where the operator itself failed; a lost worker changes no child.
    n = task.births[0] * DRAWS + min(task.draw, DRAWS - 1)
    made = offspring(task.operator.vary(parents, rng_for(task.seed, n, Stream.VARY)))
    child: object = made.genome
    if not isinstance(child, Genome):
        words = f"{task.operator.name}.vary returned {child!r:.200}, expected a genome"
        return Answer(failure=Failure.INVALID, detail=words)
    digest(child)  # what cannot be packed is found here, not in the driver
    return Answer(child=packed(child), facts=json.loads(json.dumps(made.facts)))


def _is_memory(error: BaseException) -> bool:
    """Whether torch says in a RuntimeError what Python says in a MemoryError."""
    words = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in words or "out of memory" in words
    )


THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def pinned(threads: int) -> Mapping[str, str]:
    """The environment in which numeric libraries start with `threads` threads."""
    return dict.fromkeys(THREADS, str(threads))


@contextmanager
def threads_pinned(threads: int = 1) -> Iterator[None]:
    """Hold numeric libraries, loaded or yet to load, to `threads`: results depend on it."""
    from threadpoolctl import threadpool_limits

    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(pinned(threads))
    try:
        with threadpool_limits(threads):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass
class InProcess:
    """One slot, in this process. Enforces no limit and survives no crash: a Ray worker does."""

    fitnesses: Sequence[Fitness[Any]]
    slots: int = 1
    _waiting: list[Task] = field(default_factory=list)

    def free(self, needs: Needs) -> int:
        return self.slots - len(self._waiting)

    def submit(self, task: Task) -> None:
        self._waiting.append(task)

    def wait(self, patience: float | None = None) -> list[Outcome]:
        if not self._waiting:
            return []
        task = self._waiting[0]
        with threads_pinned(task.needs.threads):
            answer = answered(self.fitnesses, task)
        self._waiting.remove(task)
        return [Outcome(task, answer, "in process")]

    def close(self) -> None:
        self._waiting.clear()
