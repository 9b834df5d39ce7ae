"""Evenly spread reference points of any number, by least Riesz s-energy.

Blank, Deb, Dhebar, Bandaru & Seada 2021, "Generating well-spaced points on a unit simplex for
evolutionary many-objective optimization"; Hardin & Saff 2004. The energy of a set is the sum of
1 / |z_i - z_j|^s over pairs, here with s = m^2. Knows no costs.

The descent is ours: a point's step is its force over the sum of that force's weights, so no
length needs tuning; with momentum, halved where the energy would rise. It runs from two sets and
keeps the lower: the greatest Das-Dennis set that fits, filled up, and random points far apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from operators.selection.reference import check_objectives, das_dennis, divisions_for, is_int

_TILE = 1 << 18  # float64 numbers held at once
_MOST = 20_000  # points; beyond, the time of order r^2 is hours
_MOMENTUM = 0.9
_CANDIDATES = 20  # random points a point of a start is chosen from
_SETTLING = ((2.0, 100), (1.0, 100))  # (s / m^2, steps) of each start; then the lower goes on
_STILL = 1e-10  # a gain of log energy that counts as none


def riesz(n_objectives: int, n_points: int, *, seed: int = 0, steps: int = 400) -> Tensor:
    """(n_points, m) float64 points >= 0 that sum to 1, the m corners among them, lexicographic.

    The same bits for the same seed and number of threads. For a size that Das-Dennis has, the
    energy is at most that set's. steps: descent after both starts have settled (200 steps each).
    Time of order steps r^2 m, memory r m and one tile; on the CPU. Raises ValueError for
    n_objectives < 2, n_points < n_objectives or above 20,000, steps < 0, what is no int.
    """
    _check(n_objectives, n_points, seed, steps)
    generator = torch.Generator("cpu").manual_seed(seed)
    corners = torch.eye(n_objectives, dtype=torch.float64, device="cpu")
    lattice = das_dennis(n_objectives, divisions_for(n_objectives, n_points))
    inside = lattice[lattice.amax(1) < 1]
    starts = []
    for first in (torch.cat([corners, inside]), corners):
        points = _filled(first, n_points, generator)
        for share, n_steps in _SETTLING:
            points = _descended(points, share * n_objectives**2, n_steps)
        starts.append(points)
    s = float(n_objectives**2)
    lower = min(starts, key=lambda points: _field(points, s).log_energy)
    points = _descended(lower, s, steps)
    for column in reversed(range(n_objectives)):
        points = points[points[:, column].argsort(stable=True)]
    return points


def log_energy(points: Tensor) -> float:
    """The log of the Riesz energy of `points` (r, m) float64 distinct, over pairs, s = m^2."""
    return _field(points, float(points.shape[1] ** 2)).log_energy


@dataclass(frozen=True, eq=False)
class _Field:
    """The log energy of a set and, for each point, where the others push it: (r, m)."""

    log_energy: float
    push: Tensor


def _field(points: Tensor, s: float) -> _Field:
    """Energy and pushes in one pass over tiles of rows.

    The force on i is s sum_j d_ij^(-s-2) (z_i - z_j); over the sum of its weights it is the mean
    of the differences. Weights are taken relative to the row's nearest, so that none overflows
    and no row loses all of its own.
    """
    square = (points * points).sum(1)
    step = max(1, _TILE // len(points))
    pushes, rows = [], []
    for first in range(0, len(points), step):
        tile = points[first : first + step]
        apart = torch.addmm(square[first : first + step, None] + square, tile, points.T, alpha=-2)
        apart.clamp_(min=1e-300).diagonal(first).fill_(torch.inf)  # d_ij^2; none of itself
        nearest = apart.amin(1, keepdim=True)
        apart /= nearest
        energy = apart.log().mul_(-s / 2).exp_()
        rows.append(energy.sum(1).log_() - s / 2 * nearest[:, 0].log())
        weight = energy.div_(apart)
        mean = (weight @ points).div_(weight.sum(1, keepdim=True))
        pushes.append(tile - mean)
    total = float(torch.cat(rows).logsumexp(0)) - math.log(2)  # each pair was met twice
    return _Field(total, torch.cat(pushes))


def _descended(points: Tensor, s: float, n_steps: int) -> Tensor:
    """`points` after at most `n_steps` steps that each lower the energy, or are not taken."""
    m = points.shape[1]
    field, length = _field(points, s), 1.0
    drift = torch.zeros_like(points)
    for _ in range(n_steps):
        push = field.push - field.push.mean(1, keepdim=True)  # along the simplex
        tried = _on_simplex(points + length * (m - 1) / s * push + drift)
        tried[:m] = points[:m]  # the corners stay
        after = _field(tried, s)
        gain = field.log_energy - after.log_energy
        if gain > 0:
            drift = _MOMENTUM * (tried - points)
            points, field, length = tried, after, min(1.1 * length, 4.0)
            if gain < _STILL:
                break
        else:
            drift, length = torch.zeros_like(points), length / 2
            if length < 1e-6:
                break
    return points


def _filled(points: Tensor, n_points: int, generator: torch.Generator) -> Tensor:
    """`points` and random ones, each the farthest candidate from all before it."""
    m = points.shape[1]
    shape = max(2000, _CANDIDATES * n_points), m
    candidates = torch.rand(shape, dtype=torch.float64, generator=generator, device="cpu")
    candidates = candidates.clamp_(min=1e-300).log_()
    candidates /= candidates.sum(1, keepdim=True)  # uniform on the simplex
    square = (candidates * candidates).sum(1)
    nearest = torch.full_like(square, torch.inf)
    taken = list(points)
    for i in range(n_points):
        if i == len(taken):
            taken.append(candidates[nearest.argmax()])
        apart = square - 2 * (candidates @ taken[i]) + taken[i] @ taken[i]
        nearest = torch.minimum(nearest, apart)
    return torch.stack(taken)


def _on_simplex(points: Tensor) -> Tensor:
    """The nearest point of the unit simplex to each row (Held, Wolfe & Crowder 1974)."""
    falling = points.sort(dim=1, descending=True).values
    count = torch.arange(1, points.shape[1] + 1, dtype=points.dtype, device=points.device)
    excess = falling.cumsum(1) - 1
    kept = (falling * count > excess).sum(1, keepdim=True)
    return (points - excess.gather(1, kept - 1) / kept).clamp_(min=0)


def _check(n_objectives: int, n_points: int, seed: int, steps: int) -> None:
    check_objectives(n_objectives, "riesz")
    if not is_int(n_points) or not n_objectives <= n_points <= _MOST:
        raise ValueError(
            f"riesz got n_points={n_points!r} for {n_objectives} objectives, expected an int from "
            f"{n_objectives} (the corners) to {_MOST}; use das_dennis for more."
        )
    if not is_int(seed):
        raise ValueError(f"riesz got seed={seed!r}, expected an int; 0 serves.")
    if not is_int(steps) or steps < 0:
        raise ValueError(f"riesz got steps={steps!r}, expected an int of 0 or more; 400 serve.")
