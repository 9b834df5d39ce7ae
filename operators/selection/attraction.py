"""Mate choice by what the other can do: M2N2's attraction (Abrantes, Lange & Tang 2025).

"Competition and Attraction Improve Model Fusion". A sample is a resource that its holders share,
so a rare skill is worth more; the second parent is drawn for what it does better than the first.
Knows scores of single samples, not genomes; costs only say how many candidates there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from operators.selection.arguments import check_costs, check_generator


@dataclass(frozen=True)
class Attraction:
    """Parents by shared fitness, their mates by attraction. Needs per-sample scores.

    maximise: for each objective whether more is better, as in its `Objective`; samples come in
    that natural sign. Scores (more is better) count as they are, over the largest; if any is
    negative all are raised by the lowest. Losses (less is better, no upper end) count
    exp(-excess / typical): the excess is what lies above the least loss on that sample, typical
    the median of those above 0. So the best counts 1, one that diverged 0, whatever the unit and
    however hard the sample. Each objective has the same say.
    """

    maximise: tuple[bool, ...]
    eps: float = 1e-6  # beside scores from 0 to 1

    def __post_init__(self) -> None:
        flags: object = self.maximise
        if (
            not isinstance(flags, tuple)
            or not flags
            or not all(isinstance(flag, bool) for flag in flags)
        ):
            raise ValueError(
                f"Attraction got maximise={flags!r}, expected a tuple of one bool an objective; "
                "give (False,) for one loss, (True, True) for two accuracies."
            )
        if not self.eps > 0:
            raise ValueError(f"Attraction got eps={self.eps!r}, expected a number above 0.")

    def __call__(
        self,
        costs: Tensor,
        samples: Sequence[np.ndarray] | None,
        n_parents: int,
        *,
        generator: torch.Generator,
    ) -> Tensor:
        """(n_parents,) int64 rows of `costs` (n, m) float, on their device: A, then its mates.

        samples: one (n, s_i) float array an objective; what is not finite there scores 0.
        A is drawn in proportion to shared fitness, every later one to its attraction on A, never
        A itself unless n = 1; mates may repeat. Where no row offers anything, mates are drawn in
        proportion to shared fitness, where none has any, uniformly. Violations are not seen.
        Float64 on the CPU, of order n (s_1 + s_2 + ...). generator: on the CPU. Raises
        ValueError for what does not fit together, and for samples=None.
        """
        check_costs(costs, "Attraction")
        check_generator(generator, "Attraction")
        n = costs.shape[0]
        if (
            n == 0
            or isinstance(n_parents, bool)
            or not isinstance(n_parents, int)
            or n_parents < 1
        ):
            raise ValueError(
                f"Attraction was asked for n_parents={n_parents!r} of {n} rows, expected an int "
                "of 1 or more and at least one row; tell some founders first."
            )
        self._check_samples(samples, *costs.shape)
        assert samples is not None
        scores = [_scores(part, more) for part, more in zip(samples, self.maximise, strict=True)]
        value = np.concatenate([_values(score, self.eps) for score in scores])
        score = np.concatenate(scores, axis=1)
        fitness = score @ value
        first = _drawn(fitness, 1, generator)
        row = int(first)
        pull = np.maximum(score - score[row], 0) @ value
        if not pull.any():
            pull = fitness.copy()
            pull[row] = 0
        if not pull.any():
            pull = (np.arange(n) != row).astype(np.float64)
        return torch.cat([first, _drawn(pull, n_parents - 1, generator)]).to(costs.device)

    def _check_samples(self, samples: Sequence[np.ndarray] | None, n: int, m: int) -> None:
        if m != len(self.maximise):
            raise ValueError(
                f"Attraction got costs ({n}, {m}) with maximise={self.maximise}, expected one "
                f"bool an objective; build it with maximise=(...,) of {m}."
            )
        if samples is None:
            raise ValueError(
                "Attraction got samples=None, expected one (n, s_i) array of per-sample scores an "
                "objective; use a fitness whose every Score has `samples`, of equal length at a "
                "rung, or Tournament()."
            )
        shapes = [np.shape(part) for part in samples]
        if len(shapes) != m or any(len(s) != 2 or s[0] != n or s[1] == 0 for s in shapes):
            raise ValueError(
                f"Attraction got samples of shapes {shapes} for costs ({n}, {m}), expected {m} "
                f"array(s) ({n}, s_i), s_i >= 1; a fitness gives one row of samples an objective."
            )


def _scores(samples: np.ndarray, maximise: bool) -> np.ndarray:
    """(n, s) float64 in [0, 1], more is better, 0 where `samples` is not finite."""
    # exact; a range near 1e308 overflows, and so does the sum of two of half of it in a median
    quarter = np.asarray(samples, dtype=np.float64) / 4
    known = np.isfinite(quarter)
    if not known.any():
        return np.zeros_like(quarter)
    if maximise:
        raised = np.where(known, quarter - min(0.0, float(quarter[known].min())), 0.0)
        return raised / (raised.max() or 1.0)
    least = np.where(known, quarter, np.inf).min(0)
    excess = np.where(known, quarter - np.where(np.isfinite(least), least, 0.0), 0.0)
    typical = float(np.median(excess[excess > 0])) if (excess > 0).any() else 1.0
    with np.errstate(over="ignore"):  # exp(-inf) is the 0 that is meant
        return np.where(known, np.exp(-excess / typical), 0.0)


def _values(scores: np.ndarray, eps: float) -> np.ndarray:
    """(s,) what a unit of score is worth on each sample: c_j / (z_j + eps), shares of one.

    c_j = max_i s_ij, which is 1 for a binary sample that anyone solves; z_j = sum_i s_ij. The c
    are scaled to sum to 1 over the objective, so that its unit and number of samples do not weigh.
    """
    limit = scores.max(0)
    total = limit.sum()
    if total == 0:
        return np.zeros_like(limit)
    return np.asarray(limit / total / (scores.sum(0) + eps))


def _drawn(weight: np.ndarray, k: int, generator: torch.Generator) -> Tensor:
    """(k,) int64 rows in proportion to `weight` (n,) >= 0; uniform if all are 0."""
    bounds = torch.from_numpy(weight if weight.any() else np.ones_like(weight)).cumsum(0)
    dice = torch.rand(k, dtype=torch.float64, generator=generator, device="cpu") * bounds[-1]
    below = torch.nextafter(bounds[-1], torch.zeros_like(bounds[-1]))  # the product may round up
    return torch.searchsorted(bounds, torch.minimum(dice, below), right=True)
