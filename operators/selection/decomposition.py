"""One number of many costs, by a weight: what a slot of MOEA/D minimises. Knows no slots.

Float64 throughout, and sums go from left to right: the same bits on every device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Decomposition = Callable[[Tensor, Tensor], Tensor]
_LEAST_WEIGHT = 1e-6  # stands for weight 0, under which an objective would not count at all


def tchebycheff(away: Tensor, weights: Tensor) -> Tensor:
    """(...) the largest weighted distance from the ideal point (Zhang & Li 2007, eq. 2).

    away: (..., m) costs above the ideal point; weights: (..., m), broadcast. The optimum lies
    where the costs are as 1 / weight, so even weights give uneven points on a curved front.
    """
    return (away * weights.clamp(min=_LEAST_WEIGHT)).amax(-1)


@dataclass(frozen=True)
class PBI:
    """Distance along the weight's line plus `theta` times that from it (Zhang & Li 2007, sec. V).

    The optimum lies where the weight's line meets the front, if `theta` is large enough.
    """

    theta: float = 5.0

    def __call__(self, away: Tensor, weights: Tensor) -> Tensor:
        """(...) of (..., m) costs above the ideal point and (..., m) weights, broadcast."""
        largest = away.abs().amax(-1, keepdim=True)  # squares of 1e-300 and 1e300 must not matter
        unit = away / torch.where(largest > 0, largest, 1.0)
        line = weights / summed(weights * weights).sqrt()[..., None]
        along = summed(unit * line)
        off = unit - along[..., None] * line
        total: Tensor = (along + self.theta * summed(off * off).sqrt()) * largest[..., 0]
        return total


def summed(products: Tensor) -> Tensor:
    """(...) sums over the last axis of (..., m), from left to right."""
    columns = products.unbind(-1)
    total = columns[0]
    for column in columns[1:]:
        total = total + column
    return total
