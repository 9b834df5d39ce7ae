"""Several fitnesses as one: their objectives side by side, others as constraints, or their mean.

Knows no genome and no measure. What can share the expressed genome gets it once.
"""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Generic, TypeVar

import numpy as np

from evolve.errors import FitnessError
from evolve.score import Fitness, Foretelling, G_contra, Needs, Objective, Score, needs_at
from fitness.expressed import OnExpressed, attempt

T = TypeVar("T")


@dataclass(frozen=True)
class Limit(Generic[G_contra]):
    """A bound on one objective of `fitness`, in its natural sign and unit.

    Violation is the excess, relative to the bound's size unless that is 0, so that limits in
    different units add up (Deb & Jain 2014, part II, normalise constraints so).
    """

    fitness: Fitness[G_contra]
    objective: str
    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        names = [objective.name for objective in self.fitness.objectives]
        if self.objective not in names:
            raise FitnessError(
                f"Limit names the objective {self.objective!r}, its fitness has "
                f"{', '.join(names)}; choose one of them."
            )
        if self.at_most is None and self.at_least is None:
            raise FitnessError(
                f"Limit on {self.objective!r} has no bound; give at_most or at_least."
            )

    def violation(self, score: Score) -> float:
        """0 if `score`, one of `fitness`, keeps the limit."""
        names = [objective.name for objective in self.fitness.objectives]
        value = score.values[names.index(self.objective)]
        over = 0.0 if self.at_most is None else _excess(value - self.at_most, self.at_most)
        under = 0.0 if self.at_least is None else _excess(self.at_least - value, self.at_least)
        return over + under


def _excess(amount: float, bound: float) -> float:
    return max(0.0, amount) / (abs(bound) or 1.0)


@dataclass(frozen=True)
class Join(Generic[G_contra]):
    """The objectives of `fitnesses` in order; `limits` only add violation and metrics.

    A fitness named more than once is evaluated once. A fitness with one rung is scored in full
    at every rung of the others. Metrics and notes keep their names; a repeated name gets `.2`,
    `.3` ... Samples are kept if all fitnesses have them. A part that fails fails the whole, and
    so does one that writes into what the next part gets: a checksum before and after tells.
    """

    fitnesses: tuple[Fitness[G_contra], ...]
    limits: tuple[Limit[G_contra], ...] = ()

    def __post_init__(self) -> None:
        names = [objective.name for objective in self.objectives]
        if not names or len(set(names)) < len(names):
            raise FitnessError(
                f"Join has the objectives ({', '.join(names)}); give one or more fitnesses whose "
                "objectives have different names."
            )
        if len({len(part.rungs) for part in self._parts if len(part.rungs) > 1}) > 1:
            raise FitnessError(
                f"Join has fitnesses with rungs {[part.rungs for part in self._parts]}; give all "
                "the same number of rungs, or one."
            )

    @property
    def _parts(self) -> list[Fitness[G_contra]]:
        """Every fitness once, limits' last."""
        every = [*self.fitnesses, *(limit.fitness for limit in self.limits)]
        return [part for i, part in enumerate(every) if all(part is not p for p in every[:i])]

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return tuple(objective for part in self.fitnesses for objective in part.objectives)

    @property
    def rungs(self) -> tuple[int, ...]:
        return max((part.rungs for part in self._parts), key=len)

    @property
    def needs(self) -> Needs | tuple[Needs, ...]:
        """What bears every part at once: one for all rungs if they agree."""
        needs = tuple(self._needs(rung) for rung in range(len(self.rungs)))
        return needs[0] if all(each == needs[0] for each in needs) else needs

    def _needs(self, rung: int) -> Needs:
        needs = [needs_at(part, _at(part, rung)) for part in self._parts]
        limits = [need.timeout for need in needs if need.timeout is not None]
        names = {name for need in needs for name in need.custom}
        return Needs(
            cpus=max(need.cpus for need in needs),
            gpus=max(need.gpus for need in needs),
            memory=sum(need.memory for need in needs),  # each keeps its model
            custom={name: max(need.custom.get(name, 0.0) for need in needs) for name in names},
            batch=min(need.batch for need in needs),
            threads=max(need.threads for need in needs),
            timeout=sum(limits) if len(limits) == len(needs) else None,
            startup=max(need.startup for need in needs),
        )

    def plan(self) -> list[str]:
        """What the parts say."""
        return [
            line for part in self._parts if isinstance(part, Foretelling) for line in part.plan()
        ]

    def evaluate(self, genomes: Sequence[G_contra], rung: int, seed: int) -> list[Score]:
        """One score a genome, of the scores that the parts give it."""
        columns = [
            None if isinstance(part, OnExpressed) else self._alone(part, genomes, rung, seed)
            for part in self._parts
        ]
        scores = []
        for i, genome in enumerate(genomes):
            ready = [None if column is None else column[i] for column in columns]
            one = partial(self._score, genome, ready, rung, seed)
            scores.append(attempt(one, self.objectives))
        return scores

    def _alone(
        self, part: Fitness[G_contra], genomes: Sequence[G_contra], rung: int, seed: int
    ) -> list[Score]:
        """The scores of a part that does its own expressing."""
        before = [checksum(genome.pack().arrays) for genome in genomes]
        scores = part.evaluate(genomes, _at(part, rung), seed)
        return [
            score if checksum(genome.pack().arrays) == known else Score.failed(_wrote(part))
            for score, genome, known in zip(scores, genomes, before, strict=True)
        ]

    def _score(
        self, genome: G_contra, ready: Sequence[Score | None], rung: int, seed: int
    ) -> Score:
        """The joined score; `ready` holds a score of each part that does its own expressing."""
        expressed = None if None not in ready else genome.express()
        shared = sum(score is None for score in ready)  # parts yet to get it
        before = checksum(expressed) if shared > 1 else 0
        scores = []
        for part, score in zip(self._parts, ready):
            if isinstance(part, OnExpressed):
                one = partial(part.score_expressed, expressed, _at(part, rung), seed)
                score = attempt(one, part.objectives)
                shared -= 1
                if shared and checksum(expressed) != before:
                    return Score.failed(_wrote(part))
            assert score is not None
            if score.error is not None:
                return score
            scores.append(score)
        own = scores[: len(self.fitnesses)]
        samples = [score.samples for score in own if score.samples is not None]
        bounded = [scores[self._position(limit.fitness)] for limit in self.limits]
        excess = [limit.violation(score) for limit, score in zip(self.limits, bounded)]
        return Score(
            tuple(value for score in own for value in score.values),
            violation=math.fsum([*excess, *(score.violation for score in scores)]),
            measures=tuple(measure for score in own for measure in score.measures),
            metrics=_merged([*(score.metrics for score in scores), *self._limited(scores)]),
            notes=_merged([score.notes for score in scores]),
            samples=tuple(a for part in samples for a in part)
            if len(samples) == len(own)
            else None,
            heritage=_merged([score.heritage or {} for score in scores]) or None,
        )

    def _position(self, fitness: Fitness[G_contra]) -> int:
        return next(i for i, part in enumerate(self._parts) if part is fitness)

    def _limited(self, scores: Sequence[Score]) -> list[dict[str, float]]:
        """The objectives of parts that only limit, as metrics, unless they are already."""
        only = list(zip(self._parts, scores))[len(self.fitnesses) :]
        return [
            {
                objective.name: value
                for objective, value in zip(part.objectives, score.values)
                if objective.name not in score.metrics
            }
            for part, score in only
        ]


@dataclass(frozen=True)
class Mean(Generic[G_contra]):
    """One objective `name`: the mean of the objectives of `fitness`, which become metrics.

    For searches that want one number. The samples are those of all objectives, one after
    another, if each has as many (so that their mean is the value), else none.
    """

    fitness: Fitness[G_contra]
    name: str = "mean"

    def __post_init__(self) -> None:
        kinds = {(objective.maximise, objective.unit) for objective in self.fitness.objectives}
        if len(kinds) != 1:
            raise FitnessError(
                f"Mean of {self.fitness.objectives} has no meaning; give a fitness whose "
                "objectives share direction and unit."
            )

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return (replace(self.fitness.objectives[0], name=self.name),)

    @property
    def rungs(self) -> tuple[int, ...]:
        return self.fitness.rungs

    @property
    def needs(self) -> Needs | tuple[Needs, ...]:
        return self.fitness.needs

    def evaluate(self, genomes: Sequence[G_contra], rung: int, seed: int) -> list[Score]:
        """One score a genome."""
        return [self._mean(score) for score in self.fitness.evaluate(genomes, rung, seed)]

    def _mean(self, score: Score) -> Score:
        if score.error is not None:
            return score
        names = [objective.name for objective in self.fitness.objectives]
        return replace(
            score,
            values=(sum(score.values) / len(score.values),),
            metrics=_merged([dict(zip(names, score.values)), score.metrics]),
            samples=_concatenated(score.samples),
        )


def _concatenated(samples: tuple[np.ndarray, ...] | None) -> tuple[np.ndarray, ...] | None:
    if samples is None or len({len(array) for array in samples}) != 1:
        return None
    return (np.concatenate(samples),)


def _at(part: Fitness[G_contra], rung: int) -> int:
    """The rung of `part` at the joint `rung`."""
    return rung if len(part.rungs) > 1 else 0


def checksum(value: object) -> int:
    """CRC-32 of the arrays in `value`, by name and in order; of arrays and tensors alone.

    Reads them once, at 3 GB/s (what a copy would cost is several times that).
    """
    found = 0
    if isinstance(value, Mapping):
        for name, each in value.items():
            found = zlib.crc32(f"{name} {checksum(each)} ".encode(), found)
    elif isinstance(value, list | tuple):
        for each in value:
            found = zlib.crc32(f"{checksum(each)} ".encode(), found)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        flat = np.ascontiguousarray(value).reshape(-1)
        found = zlib.crc32(flat.view(np.uint8).data, zlib.crc32(f"{value.dtype}".encode()))
    elif "torch" in sys.modules:  # else there is no tensor
        import torch

        if isinstance(value, torch.Tensor):
            plain = value.detach().cpu().contiguous().reshape(-1)
            found = checksum(plain.view(torch.uint8).numpy())
    return found


def _wrote(part: object) -> str:
    return (
        f"invalid: {type(part).__name__} wrote into the genome, or into what it expresses, which "
        "other parts of the Join read; let it change a copy"
    )


def _merged(mappings: Sequence[Mapping[str, T]]) -> dict[str, T]:
    """All entries; a repeated name gets `.2`, `.3` ..."""
    merged: dict[str, T] = {}
    for mapping in mappings:
        for name, value in mapping.items():
            free = (f"{name}.{i}" if i > 1 else name for i in count(1))
            merged[next(key for key in free if key not in merged)] = value
    return merged
