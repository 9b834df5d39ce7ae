"""Experiments and unruly fitnesses for the engine's tests; importable by Ray workers."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evolve import (
    Experiment,
    Free,
    Generational,
    Genetic,
    Needs,
    Objective,
    Ordered,
    Score,
    Steady,
)
from evolve.genomes.vector import Box, Vector
from evolve.streams import Stream, rng_for
from fitness.problems import Problem, dtlz2
from operators.selection import NSGA3, Tournament, Truncation, das_dennis
from operators.vector import SBX, PolynomialMutation, Then

BOX = Box.of(0.0, 1.0, 6)


def founders(n: int) -> list[Vector]:
    """`n` random vectors, always the same."""
    return [Vector.random(BOX, rng_for(7, i, Stream.ASK)) for i in range(n)]


def dtlz_search() -> Genetic[Vector]:
    """Steady NSGA-III on three objectives, eight births in flight."""
    return Genetic(
        founders=founders(12),
        operators=[Then(SBX(), PolynomialMutation())],
        selection=NSGA3(das_dennis(n_objectives=3, divisions=4)),
        mating=Tournament(),
        objectives=Problem(dtlz2, n_objectives=3).objectives,
        size=16,
        pace=Steady(window=8),
    )


def dtlz(
    births: int = 200,
    *,
    seconds: float = 0.0,
    tail: float = 0.0,
    order: Ordered | Free = Ordered(),  # noqa: B008  (frozen)
    batch: int = 1,
) -> Experiment[Vector]:
    """A cheap three-objective experiment whose evaluations take `seconds` each."""
    problem = Problem(dtlz2, n_objectives=3, seconds=seconds, tail=tail, needs=Needs(batch=batch))
    return Experiment("dtlz2", dtlz_search, problem, births, order=order)


def single_search() -> Genetic[Vector]:
    """One objective, generations of six."""
    return Genetic(
        founders=founders(6),
        operators=[PolynomialMutation()],
        selection=Truncation(),
        mating=Tournament(),
        objectives=(Objective("loss"),),
        size=6,
        pace=Generational(6),
    )


@dataclass(frozen=True)
class Unruly:
    """The sum of squares, but for some genomes (by the first gene) something goes wrong.

    `how`: raise | nan | keys | hang | die | once (dies at the first attempt only).
    """

    how: str
    scratch: Path
    share: float = 0.3
    needs: Needs = field(default_factory=Needs)
    objectives: tuple[Objective, ...] = (Objective("loss"),)
    rungs: tuple[int, ...] = (1,)

    def evaluate(self, genomes: Sequence[Vector], rung: int, seed: int) -> list[Score]:
        return [self._score(genome) for genome in genomes]

    def _score(self, genome: Vector) -> Score:
        first = float(genome.values[0])
        good = Score((float(genome.values @ genome.values),))
        if first > self.share:
            return good
        if self.how == "raise":
            raise RuntimeError(f"gene {first:.3f} is too small")
        if self.how == "nan":
            return Score((float("nan"),))
        if self.how == "keys":
            return Score((1.0, 2.0))
        if self.how == "hang":
            time.sleep(3600)
        if self.how == "die":
            os._exit(13)
        if self.how == "once":
            mark = self.scratch / f"{first:.17g}"
            if not mark.exists():
                mark.touch()
                os._exit(13)
        return good


ONE_FOUNDER = 0.28  # the share at which one of the six founders is unlucky; at 0.3 two are


def unruly(
    how: str, scratch: Path, births: int = 12, share: float = 0.3, **needs: object
) -> Experiment[Vector]:
    """An experiment under an `Unruly` fitness."""
    fitness = Unruly(how, scratch, share, needs=Needs(**needs))  # type: ignore[arg-type]
    return Experiment(how, single_search, fitness, births)
