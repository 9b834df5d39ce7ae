"""Magnitude pruning of one matrix: the smallest weights become zero. Knows no calibration."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from evolve.errors import GenomeError


@dataclass(frozen=True, eq=False)
class Pruned:
    """A weight with zeros, (rows, columns) in the model's dtype, and which weights are kept.

    `kept`: (rows, columns) bool. A kept weight may be 0 by value.
    """

    weight: Tensor
    kept: Tensor


def magnitude(weight: Tensor, count: int, dtype: torch.dtype) -> Pruned:
    """`weight` (rows, columns) with the `count` smallest magnitudes zero. Raises `GenomeError`."""
    check(weight, count)
    kept = largest(weight.float().abs(), count)
    return Pruned(torch.where(kept, weight, 0).to(dtype), kept)


def check(weight: Tensor, count: int) -> None:
    """Raises `GenomeError` unless `count` zeros can be put into `weight`."""
    if weight.ndim != 2 or not weight.isfinite().all():
        raise GenomeError(
            f"A weight is {tuple(weight.shape)}, or holds NaN or infinity; give a finite "
            "(rows, columns) matrix."
        )
    if not 0 <= count <= weight.numel():
        raise GenomeError(f"{count} zeros were asked for of {weight.numel()} weights.")


def largest(scores: Tensor, count: int) -> Tensor:
    """Bool, as `scores`: all but the `count` smallest, exactly; of equals the first go first."""
    if count == 0:
        return torch.ones_like(scores, dtype=torch.bool)
    flat = scores.reshape(-1)
    threshold = flat.kthvalue(count).values
    kept = flat > threshold
    level = (flat == threshold).nonzero()[:, 0]
    n_below = len(flat) - int(kept.sum()) - len(level)
    kept[level[count - n_below :]] = True
    return kept.view(scores.shape)
