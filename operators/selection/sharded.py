"""Exact fronts of one huge population that lies in shards, on one device or several.

A row dominated inside its own shard leads nothing, so shards exchange only their leaders: front
by front, each finds the non-dominated among its rows that are left, these meet on one device, and
what is non-dominated there is the front. No row's front is before its front within its shard (a
chain of dominators there is one of the whole), so a shard ranks itself once, and its leaders
before front f lie in its own fronts up to f. Knows costs, not genomes; one thread drives all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from operators.selection.arguments import check_costs, check_violation
from operators.selection.dominance import UNRANKED, feasibility, fronts

Masks: TypeAlias = "Sequence[tuple[Tensor, Tensor]]"  # (feasible, valid) of shards, (n_i,) bool


@dataclass(frozen=True, eq=False)
class Contenders:
    """All rows of a sharded population that its survivors depend on, in order of row.

    costs: (c, m) and violation: (c,) or None, on the device of the first shard. rows: (c,) int64
    there, their places in `cat(shards)`.
    """

    costs: Tensor
    violation: Tensor | None
    rows: Tensor


def sharded_fronts(
    shards: Iterable[Tensor],
    violations: Iterable[Tensor] | None = None,
    enough: int | None = None,
) -> list[Tensor]:
    """`fronts(cat(shards), cat(violations), enough)`, bit for bit, cut as the shards are.

    shards: one or more (n_i, m) float of one dtype, minimised; any devices, where the answers
    will be. violations: one (n_i,) for each, or None. Raises ValueError for others.
    Each device ranks its shard whole, then once a front what may lead it; the first ranks the
    leaders of all.
    """
    shards, violations = _checked(shards, violations, "sharded_fronts")
    whole = isinstance(enough, int) and not isinstance(enough, bool)
    if enough is not None and not (whole and enough >= 1):
        raise ValueError(
            f"sharded_fronts got enough={enough!r}, expected an int of 1 or more; None ranks "
            "every row."
        )
    n = sum(len(costs) for costs in shards)
    wanted = n if enough is None else min(enough, n)
    return _ranked(shards, violations, _masks(shards, violations), wanted)


def contenders(
    shards: Iterable[Tensor], k: int, violations: Iterable[Tensor] | None = None
) -> Contenders:
    """What NSGA2 or NSGA3 need to choose `k` of all rows as they would from `cat(shards)`.

    `found.rows[selection(found.costs, k, violation=found.violation, generator=g).indices]` are
    the same survivors in the same order, and the state is the same. Arguments as of
    `sharded_fronts`, 1 <= k <= n, else ValueError. The rows: the fronts that reach `k`; the rest
    could only tell NSGA-III the worst feasible costs, so each shard adds its worst feasible row
    per objective.
    """
    shards, violations = _checked(shards, violations, "contenders")
    n = sum(len(costs) for costs in shards)
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= n:
        raise ValueError(
            f"contenders was asked for k={k!r} survivors of {n} rows, expected an int from 1 to "
            f"{n}; give more candidates or a smaller k."
        )
    masks = _masks(shards, violations)
    keep = [rank != UNRANKED for rank in _ranked(shards, violations, masks, k)]
    for mask, costs, (feasible, _) in zip(keep, shards, masks):
        places = feasible.nonzero()[:, 0]
        if len(places):
            mask[places[costs[places].argmax(0)]] = True
    home = shards[0].device
    rows = torch.cat([mask.to(home) for mask in keep]).nonzero()[:, 0]
    chosen = torch.cat([costs[mask].to(home) for costs, mask in zip(shards, keep)])
    if violations is None:
        return Contenders(chosen, None, rows)
    bad = torch.cat([each[mask].to(home) for each, mask in zip(violations, keep)])
    return Contenders(chosen, bad, rows)


def _ranked(
    shards: Sequence[Tensor], violations: Sequence[Tensor] | None, masks: Masks, wanted: int
) -> list[Tensor]:
    """`sharded_fronts` of checked arguments; masks: from `_masks`."""
    n_feasible, n_valid = (sum(int(pair[i].sum()) for pair in masks) for i in (0, 1))
    parts = [costs[feasible] for costs, (feasible, _) in zip(shards, masks)]
    found, n_fronts = _together(parts, min(wanted, n_feasible))
    ranks = [torch.full_like(valid, UNRANKED, dtype=torch.int64) for _, valid in masks]
    for rank, own, (feasible, _) in zip(ranks, found, masks):
        rank[feasible] = own
    if violations is not None and n_feasible < min(wanted, n_valid):
        away = [valid & ~feasible for feasible, valid in masks]
        met = [bad[mask].to(shards[0].device) for bad, mask in zip(violations, away)]
        levels = torch.unique(torch.cat(met))
        for rank, bad, mask in zip(ranks, violations, away):
            rank[mask] = n_fronts + torch.searchsorted(levels.to(bad.device), bad[mask])
        n_fronts += len(levels)
    if n_valid < wanted:
        for rank, (_, valid) in zip(ranks, masks):
            rank[~valid] = n_fronts
        n_fronts += 1
    counts = [torch.bincount(rank[rank != UNRANKED], minlength=n_fronts).cpu() for rank in ranks]
    last = int((torch.stack(counts).sum(0).cumsum(0) < wanted).sum())
    return [torch.where(rank > last, UNRANKED, rank) for rank in ranks]


def _together(shards: Sequence[Tensor], wanted: int) -> tuple[list[Tensor], int]:
    """Fronts of finite costs until `wanted` rows have theirs, and how many fronts."""
    own = [fronts(costs) for costs in shards]
    ranks = [torch.full_like(each, UNRANKED) for each in own]
    n_fronts = n_ranked = 0
    while n_ranked < wanted:
        leaders = [
            _leaders(costs, (level <= n_fronts) & (rank == UNRANKED))
            for costs, level, rank in zip(shards, own, ranks)
        ]
        met = [costs[places].to(shards[0].device) for costs, places in zip(shards, leaders)]
        front = fronts(torch.cat(met), enough=1) == 0
        for rank, places, part in zip(
            ranks, leaders, torch.split(front, [len(each) for each in met])
        ):
            rank[places[part.to(rank.device)]] = n_fronts
        n_fronts, n_ranked = n_fronts + 1, n_ranked + int(front.sum())
    return ranks, n_fronts


def _leaders(costs: Tensor, among: Tensor) -> Tensor:
    """(l,) int64: the non-dominated rows of those where `among` (n,) bool is true."""
    places = among.nonzero()[:, 0]
    return places[fronts(costs[places], enough=1) == 0]


def _masks(shards: Sequence[Tensor], violations: Sequence[Tensor] | None) -> Masks:
    """(feasible, valid) of each shard, (n_i,) bool."""
    bad = [None] * len(shards) if violations is None else violations
    return [feasibility(costs, each) for costs, each in zip(shards, bad)]


def _checked(
    shards: Iterable[Tensor], violations: Iterable[Tensor] | None, who: str
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...] | None]:
    """Both as tuples, without their gradients; ValueError for what does not fit together."""
    shards, violations = tuple(shards), None if violations is None else tuple(violations)
    for costs in shards:
        check_costs(costs, who)
    kinds = {(costs.shape[1], costs.dtype) for costs in shards}
    if len(kinds) != 1:
        raise ValueError(
            f"{who} got shards of {sorted(map(str, kinds))} objectives and dtypes, expected one "
            "or more of the same; split one tensor (n, m)."
        )
    if violations is not None and len(violations) != len(shards):
        raise ValueError(
            f"{who} got {len(violations)} violations for {len(shards)} shards, expected one "
            "each; split them where the costs are split."
        )
    missing = [i for i, bad in enumerate(violations or ()) if bad is None]
    if missing:
        raise ValueError(
            f"{who} got a violation of None for shard {missing[0]}, expected a tensor for each "
            "shard, or None for all; pass torch.zeros_like(costs[:, 0]) where all are feasible."
        )
    for costs, bad in zip(shards, violations or ()):
        check_violation(bad, costs, who)
    alone = None if violations is None else tuple(bad.detach() for bad in violations)
    return tuple(costs.detach() for costs in shards), alone
