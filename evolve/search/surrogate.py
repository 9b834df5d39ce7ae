"""A surrogate that screens children: ridge regression of costs on features of genomes.

Bayesian in form: the weights have a normal posterior, and each child that is chosen is the best
under one draw from it (Thompson 1933), so that what is uncertain is tried now and then. The
strength of the ridge is chosen by generalised cross-validation (Golub, Heath & Wahba 1979).
Costs of different rungs differ by a constant each. Knows features, no genome and no search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np

from evolve.errors import ExperimentError
from evolve.score import G, Objective, Record, costs

STRENGTHS = np.logspace(-4, 4, 17)  # of the ridge, times the features' mean square


@dataclass(frozen=True)
class Posterior:
    """Normal beliefs about weights: `mean` (d,), and a root (d, r) of their covariance."""

    mean: np.ndarray
    root: np.ndarray

    def draw(self, rng: np.random.Generator, boldness: float = 1.0) -> np.ndarray:
        """(d,) float64: weights, `boldness` standard deviations as wide as believed."""
        drawn: np.ndarray = self.mean + boldness * self.root @ rng.standard_normal(
            self.root.shape[1]
        )
        return drawn


def ridge(features: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> Posterior:
    """The weights of `features` (n, d) that explain `targets` (n,) within each of `groups` (n,).

    O(n d min(n, d)).
    """
    x, y = features.astype(np.float64), targets.astype(np.float64)
    for group in np.unique(groups):
        rows = groups == group
        x[rows] -= x[rows].mean(0)
        y[rows] -= y[rows].mean()
    n_free = len(x) - len(np.unique(groups))
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    scale = max(float((s**2).sum()) / max(x.shape[1], 1), np.finfo(np.float64).tiny)
    projected = u.T @ y
    best: tuple[float, float, float] | None = None
    for strength in (STRENGTHS * scale).tolist():
        shrunk = s**2 / (s**2 + strength)
        misfit = float(y @ y - (projected**2 * (2 * shrunk - shrunk**2)).sum())
        free = n_free - float(shrunk.sum())
        if free > 0:
            score = max(misfit, 0.0) / free**2
            if best is None or score < best[0]:
                best = (score, strength, max(misfit, 0.0) / free)
    assert best is not None, "the strongest ridge leaves some freedom"
    _, strength, noise = best
    mean = vt.T @ (s / (s**2 + strength) * projected)
    # Covariance noise * (X'X + strength)^-1: within the rows of vt, and beside them the prior.
    d = x.shape[1]
    inside = vt.T * (np.sqrt(noise / (s**2 + strength)) - np.sqrt(noise / strength))
    root = inside @ vt + np.sqrt(noise / strength) * np.eye(d)
    return Posterior(mean, root)


class Surrogate(Generic[G]):
    """Keeps the children that a ridge regression on the records told so far predicts to be best.

    features: a genome -> (d,) numbers, such as a profile's levels one-hot. pool: children drawn
    for each that is scored. boldness: how far predictions are drawn from their means; 0: the
    means. logarithm: fit the costs' logarithms, of those above 0. least: records before it
    predicts anything; memory: the newest records that it fits.
    """

    def __init__(
        self,
        features: Callable[[G], np.ndarray],
        objective: Objective,
        *,
        pool: int = 8,
        boldness: float = 1.0,
        logarithm: bool = False,
        least: int = 8,
        memory: int = 1000,
    ) -> None:
        for name, number, lowest in (
            ("pool", pool, 1),
            ("least", least, 3),
            ("memory", memory, 3),
        ):
            if number < lowest:
                raise ExperimentError(f"Surrogate.{name} is {number}; give {lowest} or more.")
        if not boldness >= 0:
            raise ExperimentError(f"Surrogate.boldness is {boldness}; give 0 or more.")
        self.features = features
        self.objective = objective
        self.boldness = boldness
        self.logarithm = logarithm
        self.least = least
        self.memory = memory
        self._pool = pool
        self._rows: list[tuple[np.ndarray, float, int]] = []  # features, target, rung

    @property
    def pool(self) -> int:
        return self._pool

    def learn(self, records: Sequence[Record[G]]) -> None:
        """Take in records; failed, infeasible and unfit ones teach nothing."""
        fine = [r for r in records if r.score.error is None and r.score.violation == 0]
        table = costs([record.score for record in fine], [self.objective])[:, 0]
        for record, cost in zip(fine, table.tolist()):
            if self.logarithm and cost <= 0:  # the dense model's own divergence is 0
                continue
            target = float(np.log(cost)) if self.logarithm else cost
            self._rows.append((np.asarray(self.features(record.genome)), target, record.rung))
        self._rows = self._rows[-self.memory :]

    def choose(self, children: Sequence[G], n: int, rng: np.random.Generator) -> list[int]:
        """`n` different children, each the best under one draw of the weights."""
        n = min(n, len(children))
        if len(self._rows) < max(self.least, len({rung for *_, rung in self._rows}) + 2):
            return list(range(n))
        x, y, rungs = (np.array(column) for column in zip(*self._rows))
        posterior = ridge(x, y, rungs)
        table = np.stack([np.asarray(self.features(child)) for child in children])
        chosen: list[int] = []
        for _ in range(n):
            predicted = table @ posterior.draw(rng, self.boldness)
            predicted[chosen] = np.inf
            chosen.append(int(predicted.argmin()))
        return chosen
