"""Standard test problems on vectors, for engine tests and benchmarks. Knows no model.

Sphere: De Jong 1975, F1. Rastrigin: Rastrigin 1974, generalised by Mühlenbein et al. 1991.
ZDT1: Zitzler, Deb & Thiele 2000, eq. 7. DTLZ1, DTLZ2: Deb, Thiele, Laumanns & Zitzler 2005, with
k = d - m + 1 distance genes. All are minimised.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import numpy as np

from evolve.errors import FitnessError
from evolve.genome import digest
from evolve.genomes.vector import VectorLike
from evolve.score import Needs, Objective, Score
from evolve.streams import Stream, rng_for
from fitness.expressed import attempt

Formula: TypeAlias = Callable[[np.ndarray, int], Sequence[float]]


def sphere(x: np.ndarray, m: int) -> Sequence[float]:
    """Sum of squares; optimum 0 at 0, usual box [-5.12, 5.12]."""
    return (float(x @ x),)


def rastrigin(x: np.ndarray, m: int) -> Sequence[float]:
    """Many regular minima; optimum 0 at 0, usual box [-5.12, 5.12]."""
    return (float(10 * len(x) + (x * x - 10 * np.cos(2 * np.pi * x)).sum()),)


def zdt1(x: np.ndarray, m: int) -> Sequence[float]:
    """Two objectives, box [0, 1], d >= 2; front f2 = 1 - sqrt(f1) at x[1:] = 0."""
    g = 1 + 9 * float(x[1:].mean())
    return float(x[0]), g * (1 - math.sqrt(float(x[0]) / g))


def dtlz1(x: np.ndarray, m: int) -> Sequence[float]:
    """m objectives, box [0, 1], d >= m; front: the plane sum f = 0.5 at x[m-1:] = 0.5."""
    away = x[m - 1 :] - 0.5
    g = 100 * (len(away) + (away * away - np.cos(20 * np.pi * away)).sum())
    return _shared(x[: m - 1], 1 - x[: m - 1], 0.5 * (1 + g))


def dtlz2(x: np.ndarray, m: int) -> Sequence[float]:
    """m objectives, box [0, 1], d >= m; front: the unit sphere's octant at x[m-1:] = 0.5."""
    away = x[m - 1 :] - 0.5
    angles = x[: m - 1] * np.pi / 2
    return _shared(np.cos(angles), np.sin(angles), 1 + (away * away).sum())


def _shared(near: np.ndarray, far: np.ndarray, scale: float) -> Sequence[float]:
    """f_i = scale · near_1 ... near_{m-i} · far_{m-i+1}, as both DTLZ share it."""
    products = np.concatenate([[1.0], np.cumprod(near)])[::-1]
    return tuple((scale * products * np.concatenate([[1.0], far[::-1]])).tolist())


@dataclass(frozen=True)
class Problem:
    """`Problem(dtlz2, n_objectives=3)`: objectives f1, f2 ... to be minimised.

    `seconds`: sleeps so long a genome. `tail`: sigma of a log-normal factor of mean 1 on that,
    drawn from the genome's digest, so that a genome always takes its own time.
    """

    formula: Formula
    n_objectives: int = 1
    seconds: float = 0.0
    tail: float = 0.0
    needs: Needs = field(default_factory=Needs)
    rungs: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        if self.n_objectives < 1 or self.seconds < 0 or self.tail < 0:
            raise FitnessError(
                f"{self} is no problem; give n_objectives >= 1, seconds >= 0 and tail >= 0."
            )

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return tuple(Objective(f"f{i + 1}") for i in range(self.n_objectives))

    def evaluate(self, genomes: Sequence[VectorLike], rung: int, seed: int) -> list[Score]:
        """One exact score a genome, whatever the rung and the seed."""
        return [attempt(partial(self._score, genome), self.objectives) for genome in genomes]

    def _score(self, genome: VectorLike) -> Score:
        if self.seconds:
            time.sleep(self.duration(genome))
        return Score(tuple(self.formula(genome.values, self.n_objectives)))

    def duration(self, genome: VectorLike) -> float:
        """How long `genome` sleeps, in seconds."""
        if not self.tail:
            return self.seconds
        z = rng_for(int(digest(genome)[:15], 16), 0, Stream.EVALUATE).standard_normal()
        return self.seconds * math.exp(self.tail * z - self.tail**2 / 2)
