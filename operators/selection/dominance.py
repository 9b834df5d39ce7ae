"""Non-dominated fronts, exact for any number of objectives. Knows costs, not genomes.

The rank of a row is the length of the longest chain of rows that dominate it (Deb et al. 2002,
fast non-dominated sorting gives the same numbers). On the CPU moocore's C code ranks
(Fonseca, López-Ibáñez, Paquete); elsewhere, and without moocore, fronts are peeled off in tiles
of integer comparisons. Both give the same ranks, bit for bit. Of order n m memory, plus one tile.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import torch
from torch import Tensor

from operators.selection.arguments import check_costs, check_violation

UNRANKED = torch.iinfo(torch.int64).max
_TILE = 1 << 22  # comparisons held at once, one byte each
_BLOCK = 256  # rows compared among themselves before they filter the rest
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
    n = costs.shape[0]
    if enough is not None and enough < 1:
        raise ValueError(f"fronts got enough={enough}, expected 1 or more; None ranks every row.")
    wanted = n if enough is None else min(enough, n)
    feasible, valid = feasibility(costs, violation)
    rank = torch.full((n,), UNRANKED, dtype=torch.int64, device=costs.device)
    n_fronts, n_feasible, n_valid = 0, int(feasible.sum()), int(valid.sum())
    if n_feasible:
        found = _ranked(costs[feasible].double(), min(wanted, n_feasible))
        rank[feasible] = found
        n_fronts = int(found[found != UNRANKED].max()) + 1
    if n_feasible < min(wanted, n_valid) and violation is not None:
        infeasible = valid & ~feasible
        levels, level = torch.unique(violation[infeasible], return_inverse=True)
        rank[infeasible] = n_fronts + level
        n_fronts += levels.numel()
    if n_valid < wanted:
        rank[~valid] = n_fronts
    return _stopped(rank, wanted)


def feasibility(costs: Tensor, violation: Tensor | None) -> tuple[Tensor, Tensor]:
    """(n,) bool feasible, (n,) bool valid: finite costs, no NaN violation. Feasible are valid."""
    valid = torch.isfinite(costs).all(1)
    if violation is None:
        return valid, valid
    valid = valid & ~torch.isnan(violation)
    return valid & (violation <= 0), valid


def peeled(costs: Tensor, wanted: int) -> Tensor:
    """(n,) int64 fronts of finite costs (n, m) in plain torch, on their device.

    Stops after the front with which `wanted` rows are ranked. Rows are made distinct and sorted
    by the sum of their ranks per objective: then a dominator always comes first, `<=` in every
    objective is dominance, and what is non-dominated among the first rows left is so for good.
    """
    dense = torch.stack([torch.unique(c, return_inverse=True)[1] for c in costs.unbind(1)], 1)
    rows, inverse, copies = torch.unique(dense, dim=0, return_inverse=True, return_counts=True)
    order = rows.sum(1).argsort(stable=True)
    small = torch.int16 if costs.shape[0] < 1 << 15 else torch.int32  # more lanes a comparison
    left = rows[order].to(small).T.contiguous()  # (m, u)
    number = order  # which distinct row each column of `left` is
    rank = torch.full_like(copies, UNRANKED)
    done, front = 0, 0
    while done < wanted and number.numel():
        first = _first_front(left)
        rank[number[first]] = front
        done += int(copies[number[first]].sum())
        left, number, front = left[:, ~first], number[~first], front + 1
    return rank[inverse]


def _first_front(columns: Tensor) -> Tensor:
    """(u,) bool: the non-dominated ones of `columns` (m, u), distinct and dominators first."""
    member = torch.ones(columns.shape[1], dtype=torch.bool, device=columns.device)
    place = torch.arange(columns.shape[1], device=columns.device)
    while place.numel():
        head, rest = columns[:, :_BLOCK], columns[:, _BLOCK:]
        within = _all_below(head, head).fill_diagonal_(False).any(0)
        member[place[: head.shape[1]][within]] = False
        beaten = _beaten(head[:, ~within], rest)
        place = place[head.shape[1] :]
        member[place[beaten]] = False
        place, columns = place[~beaten], rest[:, ~beaten]
    return member


def _beaten(by: Tensor, columns: Tensor) -> Tensor:
    """(u,) bool: is each of `columns` (m, u) dominated by one of `by`; one tile at once."""
    step = max(1, _TILE // by.shape[1])
    parts = [_all_below(by, part).any(0) for part in torch.split(columns, step, dim=1)]
    return torch.cat(parts)


def _all_below(a: Tensor, b: Tensor) -> Tensor:
    """(p, q) bool: column p of `a` (m, p) is <= column q of `b` (m, q) in every objective."""
    below = a[0, :, None] <= b[0]
    for row_a, row_b in zip(a[1:], b[1:]):
        below &= row_a[:, None] <= row_b
    return below


def _ranked(costs: Tensor, wanted: int) -> Tensor:
    """Fronts of finite float64 costs by the quickest way at hand; may rank more than `wanted`."""
    m = costs.shape[1]
    if m == 1:
        level: Tensor = torch.unique(costs[:, 0], return_inverse=True)[1]
        return level
    here = costs.device.type == "cpu" and m <= _MOOCORE_OBJECTIVES
    if here and importlib.util.find_spec("moocore") is not None:
        import moocore

        ranks: np.ndarray = moocore.pareto_rank(costs.detach().numpy())
        return torch.from_numpy(ranks.astype(np.int64))
    return peeled(costs, wanted)


def _stopped(rank: Tensor, wanted: int) -> Tensor:
    """`rank` with every front after the one that reaches `wanted` rows unranked."""
    counts = torch.bincount(rank[rank != UNRANKED])
    last = (counts.cumsum(0) < wanted).sum()
    return torch.where(rank > last, UNRANKED, rank)
