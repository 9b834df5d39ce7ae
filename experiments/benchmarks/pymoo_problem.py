"""The problems of the quality benchmark, written once: pymoo's own, and evox's view of them.

DTLZ1-4 with k = 5 (DTLZ1) or 10 distance genes; scaled DTLZ1/2: objective i (from 0) times
factor^i, the factors of Deb & Jain 2014, table VIII; inverted DTLZ1: f_i becomes
0.5 (1 + g) - f_i (Jain & Deb 2014, eq. 9), and DTLZ2 likewise (1 + g) - f_i; ZDT1-4 and 6 with
their usual 30 or 10 genes. All minimised, float64. Knows no algorithm.

The true fronts are dense samples that hold their corners, so that the least and the largest
value per objective are the ideal and the nadir point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from evox.core import Problem as EvoxProblem
from pymoo.core.problem import Problem
from pymoo.problems.many.dtlz import DTLZ1, DTLZ2, DTLZ3, DTLZ4, InvertedDTLZ1, ScaledProblem
from pymoo.problems.multi.zdt import ZDT1, ZDT2, ZDT3, ZDT4, ZDT6
from torch import Tensor

from operators.selection import das_dennis

FACTORS = {3: 10.0, 5: 10.0, 8: 3.0}  # of scaled DTLZ1 and DTLZ2, by objectives
_SAMPLE = 10_000  # points of a true front beside its corners, where no lattice is dense


class InvertedDTLZ2(DTLZ2):  # type: ignore[misc]  # pymoo has no annotations
    """DTLZ2 with f_i replaced by (1 + g) - f_i; front: 1 - the unit sphere's octant."""

    def _evaluate(self, x: np.ndarray, out: dict[str, np.ndarray], *_: object) -> None:
        super()._evaluate(x, out)
        top = 1 + self.g2(x[:, self.n_obj - 1 :])
        out["F"] = top[:, None] - out["F"]


@dataclass(frozen=True)
class Family:
    """One problem at every number of objectives: how pymoo builds it, and its true front."""

    build: Callable[[int], Problem]  # objectives -> pymoo problem
    front: Callable[[int], np.ndarray]  # objectives -> (r, m) float64


class Evaluated(EvoxProblem):  # type: ignore[misc]  # evox has no annotations
    """evox's view of a pymoo problem: the same object computes, in float64 on the CPU."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem

    def evaluate(self, pop: Tensor) -> Tensor:
        """(n, m) costs of `pop` (n, d), in its dtype and on its device."""
        costs: np.ndarray = self.problem.evaluate(pop.double().cpu().numpy())
        return torch.from_numpy(costs).to(pop)


def simplex(m: int) -> np.ndarray:
    """(r, m): the simplex sum f = 1: 5050 lattice points for m = 3, else uniform draws."""
    if m == 3:
        return das_dennis(3, 99).numpy()
    draws = np.random.default_rng(0).dirichlet(np.ones(m), size=_SAMPLE)
    return np.vstack([np.eye(m), draws])


def sphere(m: int) -> np.ndarray:
    """(r, m): the unit sphere's positive octant: the lattice drawn to it, or uniform draws."""
    rays = das_dennis(3, 99).numpy()
    if m != 3:
        rays = np.abs(np.random.default_rng(0).normal(size=(_SAMPLE, m)))
        rays = np.vstack([np.eye(m), rays])
    points: np.ndarray = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    return points


def _scales(m: int) -> np.ndarray:
    return FACTORS[m] ** np.arange(m)


def _zdt(build: Callable[[], Problem]) -> Family:
    """A ZDT problem, with the 5,000 front points that pymoo's own formula gives."""

    def front(m: int) -> np.ndarray:
        points: np.ndarray = build().pareto_front(5_000)
        return points

    return Family(lambda m: build(), front)


FAMILIES: dict[str, Family] = {
    "dtlz1": Family(lambda m: DTLZ1(n_var=m + 4, n_obj=m), lambda m: simplex(m) / 2),
    "dtlz2": Family(lambda m: DTLZ2(n_var=m + 9, n_obj=m), sphere),
    "dtlz3": Family(lambda m: DTLZ3(n_var=m + 9, n_obj=m), sphere),
    "dtlz4": Family(lambda m: DTLZ4(n_var=m + 9, n_obj=m), sphere),
    "scaled-dtlz1": Family(
        lambda m: ScaledProblem(DTLZ1(n_var=m + 4, n_obj=m), FACTORS[m]),
        lambda m: simplex(m) / 2 * _scales(m),
    ),
    "scaled-dtlz2": Family(
        lambda m: ScaledProblem(DTLZ2(n_var=m + 9, n_obj=m), FACTORS[m]),
        lambda m: sphere(m) * _scales(m),
    ),
    "inverted-dtlz1": Family(
        lambda m: InvertedDTLZ1(n_var=m + 4, n_obj=m), lambda m: (1 - simplex(m)) / 2
    ),
    "inverted-dtlz2": Family(
        lambda m: InvertedDTLZ2(n_var=m + 9, n_obj=m), lambda m: 1 - sphere(m)
    ),
    "zdt1": _zdt(ZDT1),
    "zdt2": _zdt(ZDT2),
    "zdt3": _zdt(ZDT3),
    "zdt4": _zdt(ZDT4),
    "zdt6": _zdt(ZDT6),
}
