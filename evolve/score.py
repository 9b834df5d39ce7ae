"""Scores, records and the contract of a fitness. Knows no operator and no search.

Signs turn in exactly one function, `costs`: everything a person reads keeps its natural sign,
everything a selection reads is minimised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeGuard, TypeVar, runtime_checkable

import numpy as np

from evolve.errors import FitnessError
from evolve.genome import Genome, Json

G = TypeVar("G", bound=Genome)
G_contra = TypeVar("G_contra", bound=Genome, contravariant=True)


@dataclass(frozen=True)
class Objective:
    """One thing to make small (or large, with `maximise`); `unit` is for people.

    `log`: differences count as ratios, for sizes over magnitudes. Values must be above 0; a
    population's selection and mating, and the knee, see logarithms; races, islands and everyone
    else see the values.
    """

    name: str
    maximise: bool = False
    unit: str = ""
    log: bool = False


@dataclass(frozen=True)
class Needs:
    """What one evaluation (or one variation in a worker) asks of a worker.

    `gpus` may be a fraction: workers then share a device. `memory` in bytes: what a worker may
    take for itself beyond its libraries; without a GPU it is held to that (`RLIMIT_DATA`) and
    what exceeds it is a failure "out of memory"; 0: not stated, no limit. `custom`: resources by
    the names that the cluster gave them. `batch` genomes a call. `threads` of numeric libraries:
    results depend on it. `timeout` in seconds a call, counted from a ready worker (None: no
    limit); `startup` in seconds a worker may take to become ready. `waits`, for operators: the
    work is done elsewhere, as by a language model's server; it takes a thread beside the driver,
    no worker, and must keep its own time.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int = 0
    custom: Mapping[str, float] = field(default_factory=dict)
    batch: int = 1
    threads: int = 1
    timeout: float | None = None
    startup: float = 300.0
    waits: bool = False

    def __post_init__(self) -> None:
        for name, least in (("batch", 1), ("threads", 1), ("cpus", 0), ("gpus", 0), ("memory", 0)):
            if not vars(self)[name] >= least:
                raise FitnessError(f"Needs.{name} is {vars(self)[name]}; give {least} or more.")
        if short := [name for name, amount in self.custom.items() if not amount > 0]:
            raise FitnessError(f"Needs.custom[{short[0]!r}] must be > 0.")
        for name in ("timeout", "startup"):
            limit = vars(self)[name]
            if limit is not None and not limit > 0:
                raise FitnessError(f"Needs.{name} is {limit}; give seconds > 0.")


@dataclass(frozen=True, eq=False)
class Score:
    """The outcome of one evaluation, in natural signs and units."""

    values: tuple[float, ...]  # one per objective; empty with `error`
    violation: float = 0.0  # 0 = feasible
    measures: tuple[float, ...] = ()  # coordinates for quality-diversity and novelty
    metrics: Mapping[str, float] = field(default_factory=dict)  # measured, not an objective
    notes: Mapping[str, str] = field(default_factory=dict)  # text for people and for LLM operators
    samples: tuple[np.ndarray, ...] | None = None  # one (n_i,) float32 per objective
    heritage: Mapping[str, np.ndarray] | None = None  # learned in its life, for children
    error: str | None = None  # a failed evaluation is data

    @classmethod
    def failed(cls, error: str, notes: Mapping[str, str] | None = None) -> Score:
        """The score of an evaluation that gave none; `error` begins with its kind."""
        return cls(values=(), notes=notes or {}, error=error)


FOUNDER = "founder"  # the operator of a genome that a search was given


@dataclass(frozen=True, eq=False)
class Record(Generic[G]):
    """A genome with its score and its origin."""

    birth: int
    genome: G
    digest: str
    score: Score
    rung: int = 0
    parents: tuple[int, ...] = ()  # births
    operator: str = FOUNDER
    facts: Mapping[str, Json] = field(default_factory=dict)  # what the search wrote at ask


class Fitness(Protocol[G_contra]):
    """Scores genomes, always a batch. A frozen object: workers get a pickled copy."""

    @property
    def objectives(self) -> tuple[Objective, ...]: ...
    @property
    def rungs(self) -> tuple[int, ...]:
        """Sample budgets, cheapest first; (n,) if there is one."""
        ...

    @property
    def needs(self) -> Needs | tuple[Needs, ...]:
        """One for all rungs, or one a rung: cheap rungs on processors, dear ones on a GPU."""
        ...

    def evaluate(self, genomes: Sequence[G_contra], rung: int, seed: int) -> list[Score]:
        """One score a genome, in order, each independent of its companions.

        `seed` depends on (run seed, rung) only, so that candidates of a rung are paired.
        """
        ...


@runtime_checkable
class Foretelling(Protocol):
    """A fitness that says before any work what an evaluation takes. Optional."""

    def plan(self) -> Sequence[str]:
        """Lines for people: what is scored, on how much, in how much memory."""
        ...


@runtime_checkable
class Nested(Protocol[G_contra]):
    """A fitness whose rung holds the samples of the rung below, and more. Optional.

    The engine then hands it what a promoted genome scored there, so that no sample is scored
    twice.
    """

    def extend(
        self, genomes: Sequence[G_contra], known: Sequence[Score | None], rung: int, seed: int
    ) -> list[Score]:
        """What `evaluate` gives, values and samples bit for bit; metrics of work count this call.

        `known[i]` is the score of genome i at `rung` - 1, without heritage and notes, or None.
        """
        ...


def needs_at(fitness: Fitness[Any], rung: int) -> Needs:
    """What an evaluation at `rung` asks of a worker."""
    needs = fitness.needs
    return needs if isinstance(needs, Needs) else needs[rung]


def costs(scores: Sequence[Score], objectives: Sequence[Objective]) -> np.ndarray:
    """(n, m) float64 to be minimised; a failed evaluation is a row of +inf."""
    sign = np.array([-1.0 if objective.maximise else 1.0 for objective in objectives])
    table = np.full((len(scores), len(objectives)), np.inf)
    for row, score in zip(table, scores):
        if score.error is None:
            row[:] = sign * np.asarray(score.values, dtype=np.float64)
    return table


def weighed(table: np.ndarray, objectives: Sequence[Objective]) -> np.ndarray:
    """Costs (n, m) as distances between them count: logarithms where an objective says so.

    Who dominates whom is the same.
    """
    if not any(objective.log for objective in objectives):
        return table
    seen = table.copy()
    for i, objective in enumerate(objectives):
        if objective.log:
            sign = -1.0 if objective.maximise else 1.0
            finite = np.isfinite(table[:, i])
            seen[finite, i] = sign * np.log(sign * table[finite, i])
    return seen


def violations(scores: Sequence[Score]) -> np.ndarray:
    """(n,) float64, 0 for feasible; +inf for a failed evaluation."""
    return np.array([np.inf if score.error is not None else score.violation for score in scores])


def checked(score: Score, objectives: Sequence[Objective]) -> Score:
    """`score` with plain floats if it is one, else a failed score that says why.

    What is told live is then what a replay of the ledger tells, and never a number by accident.
    """
    if score.error is not None:
        notes = {text(name): text(note) for name, note in score.notes.items()}
        return Score.failed(text(score.error), notes)
    if flaw := _flaw(score, objectives):
        return Score.failed(f"invalid: {flaw}")
    return replace(
        score,
        values=tuple(float(value) for value in score.values),
        violation=float(score.violation),
        measures=tuple(float(value) for value in score.measures),
        metrics={text(name): float(value) for name, value in score.metrics.items()},
        notes={text(name): text(note) for name, note in score.notes.items()},
        heritage=score.heritage and dict(sorted(score.heritage.items())),
    )


def text(value: object) -> str:
    """`value` as text that every file takes: no lone surrogates."""
    return str(value).encode("utf-8", "backslashreplace").decode()


def _flaw(score: Score, objectives: Sequence[Objective]) -> str:
    """What makes `score` none of `objectives`, or nothing."""
    values: object = score.values
    names = [objective.name for objective in objectives]
    if not isinstance(values, (tuple, list)) and not _is_row(values):
        return f"values is {values!r:.60} ({type(values).__name__}), expected a tuple of numbers"
    if len(values) != len(names):
        return f"{len(values)} values for {len(names)} objectives ({', '.join(names)})"
    for name, value in zip(names, values):
        if not _real(value):
            return (
                f"objective {name!r} is {value!r:.60} ({type(value).__name__}), expected a number"
            )
        if not _finite(value):
            return f"objective {name!r} is {value}, not finite"
    for objective, value in zip(objectives, values):
        if objective.log and not value > 0:
            return f"objective {objective.name!r} is {value}, and counts by ratio: give above 0"
    if not (_real(score.violation) and _finite(score.violation) and score.violation >= 0):
        return f"violation is {score.violation!r:.60}, expected 0 or more, finite"
    for name, value in score.metrics.items():
        if not _real(value) or (isinstance(value, int) and abs(value) > 2**1023):
            return f"metric {name!r} is {value!r:.60}, expected a number that float64 holds"
    notes: Mapping[str, object] = score.notes
    for name, note in notes.items():
        if not isinstance(note, str):
            return f"note {name!r} is {note!r:.60}, expected text"
    if not all(_real(value) and _finite(value) for value in score.measures):
        return f"measures is {score.measures!r:.60}, expected finite numbers"
    samples: object = score.samples
    if samples is not None and not (
        isinstance(samples, tuple) and len(samples) == len(names) and all(map(_is_row, samples))
    ):
        return "samples is not one array (n_i,) an objective"
    for name, array in (score.heritage or {}).items():
        if not (isinstance(name, str) and isinstance(array, np.ndarray) and _stored(array)):
            return f"heritage[{name!r:.60}] is no numpy array of numbers under a name"
    return ""


def _is_row(value: object) -> TypeGuard[np.ndarray]:
    return isinstance(value, np.ndarray) and value.ndim == 1 and _stored(value)


def _stored(array: np.ndarray) -> bool:
    """Whether safetensors holds its dtype."""
    return array.dtype.kind in "biuf" and array.dtype.itemsize <= 8


def _real(value: object) -> bool:
    number = isinstance(value, (int, float, np.integer, np.floating))
    return number and not isinstance(value, bool)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:  # an integer beyond float64
        return False
