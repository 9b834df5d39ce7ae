"""NSGA-III's adaptive normalisation, with memory (Deb & Jain 2014, alg. 2). Knows no niches.

Float64 on the CPU, wherever the costs are: the same bits on every device. The thresholds and the
order of the fall-backs are those of pymoo's NSGA-III (Blank, Deb & Roy 2019), the usual oracle;
they are absolute, so an objective whose whole range is under 1e-3 gets its nadir from the
fall-backs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from operators.selection.tiles import tile

_NOTHING = 1e-3  # distances to the ideal point below count as none when looking for extremes
_TILE = 1 << 20  # float64 numbers held at once on the CPU
_SMALLEST = 1e-6  # an intercept up to this is no intercept
_WEIGHT = 1e6  # eq. 4: the weight of the objectives across the axis


@dataclass(frozen=True, eq=False)
class Memory:
    """What NSGA-III has seen of the feasible rows so far: float64, on the CPU.

    ideal: (m,) least cost per objective. worst: (m,) largest. extremes: (m, m), row j the
    non-dominated costs nearest to axis j.
    """

    ideal: Tensor
    worst: Tensor
    extremes: Tensor

    @classmethod
    def blank(cls, n_objectives: int) -> Self:
        """The memory of nothing seen yet: +inf, -inf, +inf."""
        none = torch.full((n_objectives,), torch.inf, dtype=torch.float64, device="cpu")
        return cls(none, -none, none.expand(n_objectives, n_objectives).clone())

    def fits(self, n_objectives: int) -> bool:
        """Whether it is a memory of `n_objectives`, in float64 and on the CPU."""
        m = n_objectives
        parts = ((self.ideal, (m,)), (self.worst, (m,)), (self.extremes, (m, m)))
        return all(
            part.shape == shape and part.dtype == torch.float64 and part.device.type == "cpu"
            for part, shape in parts
        )


def remembered(memory: Memory, feasible: Tensor, first: Tensor) -> Memory:
    """The memory after seeing `feasible` (n, m) float64, n >= 1, of which `first` is front 0.

    Extremes minimise the achievement scalarising function (eq. 4) over the old extremes and
    front 0; ties go to the old ones, then to the lowest row.
    """
    ideal = torch.minimum(feasible.amin(0).cpu(), memory.ideal)
    worst = torch.maximum(feasible.amax(0).cpu(), memory.worst)
    choice = torch.cat([memory.extremes.to(first.device), first])
    away = choice - ideal.to(choice.device)
    away = torch.where(away < _NOTHING, 0.0, away)
    m = choice.shape[1]
    axes = torch.full((m, m), _WEIGHT, dtype=torch.float64, device=choice.device)
    axes.fill_diagonal_(1.0)
    parts = torch.split(away[:, None], max(1, tile(_TILE, choice.device) // (m * m)))
    scalarised = torch.cat([(part * axes).amax(2) for part in parts])  # (n, m): row, axis
    return Memory(ideal, worst, choice[scalarised.argmin(0)].cpu())


def nadir(memory: Memory, feasible: Tensor, first: Tensor) -> Tensor:
    """(m,) float64 on the CPU: where the normalised costs are 1; never below the ideal.

    1. ideal + the intercepts of the plane through the extremes, at most the worst seen, if the
       plane exists and every intercept exceeds 1e-6;
    2. else the largest cost per objective in front 0;
    3. and where that is within 1e-6 of the ideal, the largest among all feasible rows.
    """
    point = _through(memory)
    if point is None:
        point = first.amax(0).cpu()
    flat = point - memory.ideal <= _SMALLEST
    if bool(flat.any()):
        point = torch.where(flat, feasible.amax(0).cpu(), point)
    return point


def normalised(costs: Tensor, ideal: Tensor, nadir_point: Tensor) -> Tensor:
    """(n, m) float64 in [0, 1e100]: 0 at the ideal, 1 at the nadir; 0 where these are equal.

    Halved on the way, which is exact: the range of costs near 1e308 would overflow.
    """
    low = (ideal / 2).to(costs.device)
    span = (nadir_point / 2).to(costs.device) - low
    scaled = (costs / 2 - low) / torch.where(span > 0, span, 1.0)
    return scaled.clamp(0.0, 1e100)  # squares of it must stay finite


def _through(memory: Memory) -> Tensor | None:
    """Ideal + intercepts of the plane through the extremes; None if there is no such plane."""
    edges = (memory.extremes - memory.ideal).numpy()
    longest = edges.max(0)
    if not (np.isfinite(edges).all() and (longest > 0).all()):
        return None
    # a singular matrix may look solvable after rounding; unlike scales of objectives do not
    # matter once each column is scaled
    singular = np.linalg.svd(edges / longest, compute_uv=False)
    if singular[-1] <= singular[0] * len(edges) * np.finfo(np.float64).eps:
        return None
    try:
        plane = np.linalg.solve(edges, np.ones(len(edges)))
    except np.linalg.LinAlgError:
        return None
    if not np.abs(edges @ plane - 1).max() < 1e-5:
        return None
    with np.errstate(divide="ignore"):
        intercepts = 1 / plane
    if not (intercepts > _SMALLEST).all():
        return None
    return torch.minimum(memory.ideal + torch.from_numpy(intercepts), memory.worst)
