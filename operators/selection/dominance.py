"""Non-dominated fronts, exact for any number of objectives. Knows costs, not genomes.

The rank of a row is the length of the longest chain of rows that dominate it (Deb et al. 2002,
fast non-dominated sorting gives the same numbers). On the CPU moocore's C code ranks
(Fonseca, López-Ibáñez, Paquete); elsewhere, and without moocore, fronts are peeled off in tiles
of integer comparisons. Both give the same ranks, bit for bit. Of order n m memory, plus one tile.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from operators.selection.arguments import check_costs, check_violation
from operators.selection.tiles import tile

UNRANKED = torch.iinfo(torch.int64).max
_TILE = 1 << 22  # comparisons held at once, one byte each
_DEVICE_TILE = 1 << 28  # the same on a GPU, which needs larger pieces of work
_BLOCK = 255  # rows compared with a tile's worth of others: their count fits a byte
_DEVICE_BLOCK = 1024  # the same on a GPU, where fewer launches count more than short numbers
_MOOCORE_OBJECTIVES = 32  # moocore takes 255; its cost grows as n^2 log^(m-2) n


def fronts(costs: Tensor, violation: Tensor | None = None, enough: int | None = None) -> Tensor:
    """(n,) int64 front of each row, 0 the best; equal rows share a front.

    costs: (n, m) float, minimised; any device. violation: (n,) of the same dtype and device.
    Feasible rows (violation <= 0, or None) come first, by dominance; then infeasible ones, by
    violation alone, equal violations sharing a front; then, as one front, every row with a NaN
    or infinite cost or a NaN violation.
    enough: whole fronts are ranked until that many rows are; the rest get the largest int64.
    Raises ValueError for wrong shapes, dtypes, devices or `enough` < 1.
    """
    check_costs(costs, "fronts")
    check_violation(violation, costs, "fronts")
    whole = isinstance(enough, int) and not isinstance(enough, bool)
    if enough is not None and not (whole and enough >= 1):
        raise ValueError(
            f"fronts got enough={enough!r}, expected an int of 1 or more; None ranks every row."
        )
    wanted = len(costs) if enough is None else min(enough, len(costs))
    return _stopped(ranked(costs, violation, wanted).rank, wanted)


class Ranked(NamedTuple):
    """rank: (n,) int64. feasible: (n,) bool, and how many are."""

    rank: Tensor
    feasible: Tensor
    n_feasible: int


def ranked(costs: Tensor, violation: Tensor | None, wanted: int) -> Ranked:
    """As `fronts` of checked arguments, `wanted` <= n; but may rank more than it."""
    n = costs.shape[0]
    feasible, valid = feasibility(costs, violation)
    n_feasible = int(feasible.sum())
    if n_feasible == n:
        return Ranked(_by_dominance(costs.double(), wanted), feasible, n)
    rank = torch.full((n,), UNRANKED, dtype=torch.int64, device=costs.device)
    n_fronts, n_valid = 0, int(valid.sum())
    if n_feasible:
        found = _by_dominance(costs[feasible].double(), min(wanted, n_feasible))
        rank[feasible] = found
        n_fronts = int(found[found != UNRANKED].max()) + 1
    if n_feasible < min(wanted, n_valid) and violation is not None:
        infeasible = valid & ~feasible
        levels, level = torch.unique(violation[infeasible], return_inverse=True)
        rank[infeasible] = n_fronts + level
        n_fronts += levels.numel()
    if n_valid < wanted:
        rank[~valid] = n_fronts
    return Ranked(rank, feasible, n_feasible)


def feasibility(costs: Tensor, violation: Tensor | None) -> tuple[Tensor, Tensor]:
    """(n,) bool feasible, (n,) bool valid: finite costs, no NaN violation. Feasible are valid."""
    valid = torch.isfinite(costs).all(1)
    if violation is None:
        return valid, valid
    valid = valid & ~torch.isnan(violation)
    return valid & (violation <= 0), valid


def peeled(costs: Tensor, wanted: int) -> Tensor:
    """(n,) int64 fronts of finite costs (n, m) in plain torch, on their device.

    Stops after the front with which `wanted` rows are ranked. Rows are made distinct and sorted;
    then `<=` in every objective is dominance, and a row's dominators are counted once (some
    n^2 (m - 1) / 2 comparisons). A front is the rows that have none left, and takes itself off
    the counts of the others (n^2 m / 2 more over all fronts). One host synchronisation a front:
    its two sizes.
    """
    dense = torch.stack([torch.unique(c, return_inverse=True)[1] for c in costs.unbind(1)], 1)
    rows, inverse, copies = torch.unique(dense, dim=0, return_inverse=True, return_counts=True)
    small = torch.int16 if costs.shape[0] < 1 << 15 else torch.int32  # more lanes a comparison
    left = rows.to(small).T.contiguous()  # (m, u), sorted by the objectives: dominators first
    number = torch.arange(len(rows), device=costs.device)  # which row each column of `left` is
    found = torch.full_like(number, UNRANKED)
    dominators = _dominators(left)
    done, front = 0, 0
    while done < wanted and len(number):
        free = dominators == 0
        sizes = torch.stack([free.sum(), torch.where(free, copies[number], 0).sum()])
        n_free, n_rows = sizes.tolist()
        gone, stay = _split(free, n_free)
        found[number[gone]] = front
        first, left, number = left[:, gone], left[:, stay], number[stay]
        dominators = dominators[stay] - _count_below(first, left)
        done, front = done + n_rows, front + 1
    return found[inverse]


def _dominators(columns: Tensor) -> Tensor:
    """(u,) int32: how many of the distinct columns (m, u) dominate each; sorted, first row first.

    So a column's first objective is <= that of every later one: later blocks need the others only.
    """
    count = torch.zeros(columns.shape[1], dtype=torch.int32, device=columns.device)
    others = columns[min(1, len(columns) - 1) :]
    width = tile(_BLOCK, columns.device, _DEVICE_BLOCK)
    for start in range(0, columns.shape[1], width):
        last = start + width
        own = columns[:, start:last]
        count[start:last] += _count_below(own, own)
        count[last:] += _count_below(others[:, start:last], others[:, last:])
    return count - 1  # itself


def _count_below(by: Tensor, columns: Tensor) -> Tensor:
    """(u,) int32: how many of `by` (m, p) are <= each of `columns` (m, u); a tile at once."""
    count = torch.zeros(columns.shape[1], dtype=torch.int32, device=columns.device)
    width = tile(_BLOCK, columns.device, _DEVICE_BLOCK)
    fits = torch.uint8 if width < 256 else torch.int32  # of these the first is quickest by far
    for block in torch.split(by, width, dim=1):
        step = max(1, tile(_TILE, columns.device, _DEVICE_TILE) // max(1, block.shape[1]))
        parts = [
            _all_below(block, part).view(torch.uint8).sum(0, dtype=fits)
            for part in torch.split(columns, step, dim=1)
        ]
        count += torch.cat(parts)
    return count


def _split(chosen: Tensor, n_chosen: int) -> tuple[Tensor, Tensor]:
    """Indices where `chosen` (u,) bool is true, and where it is not; sizes are known: no wait."""
    order = chosen.logical_not().to(torch.int8).argsort(stable=True)
    return order[:n_chosen], order[n_chosen:]


def _all_below(a: Tensor, b: Tensor) -> Tensor:
    """(p, q) bool: column p of `a` (m, p) is <= column q of `b` (m, q) in every objective."""
    below = a[0, :, None] <= b[0]
    for row_a, row_b in zip(a[1:], b[1:]):
        below &= row_a[:, None] <= row_b
    return below


def _by_dominance(costs: Tensor, wanted: int) -> Tensor:
    """Fronts of finite float64 costs by the quickest way at hand; may rank more than `wanted`."""
    m = costs.shape[1]
    if m == 1:
        level: Tensor = torch.unique(costs[:, 0], return_inverse=True)[1]
        return level
    here = costs.device.type == "cpu" and m <= _MOOCORE_OBJECTIVES
    if here and _has_moocore():
        import moocore

        ranks: np.ndarray = moocore.pareto_rank(costs.detach().numpy())
        return torch.from_numpy(ranks.astype(np.int64))
    return peeled(costs, wanted)


def _stopped(rank: Tensor, wanted: int) -> Tensor:
    """`rank` with every front after the one that reaches `wanted` rows unranked."""
    counts = torch.bincount(rank.clamp(max=rank.numel()))[: rank.numel()]
    last = (counts.cumsum(0) < wanted).sum()
    return torch.where(rank > last, UNRANKED, rank)


@functools.cache
def _has_moocore() -> bool:
    return importlib.util.find_spec("moocore") is not None
