"""The additive solver: what each unit loses at each level, from probes, then a knapsack.

A probe is a base profile with one unit at another level, or with one part removed. If losses
added up, the knapsack's profile would be the best of its budget; it is a warm start and a
baseline. With a prior, such as the database's output errors, a unit needs one probe or none: the
prior gives the shape over levels, probes the scale. Knows scores, no search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evolve.errors import GenomeError
from evolve.genome import digest
from evolve.genomes.compression.anatomy import Part
from evolve.genomes.compression.budget import Budget
from evolve.genomes.compression.knapsack import least_loss
from evolve.genomes.compression.level import Dense
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import ProfileSpace
from evolve.score import Objective, Record, costs

FAILED = 10.0  # a failed probe loses that many times the worst that was measured


@dataclass(frozen=True)
class Losses:
    """What leaving the base costs. levels[unit][level], 0 at the base's; parts[kind][block]."""

    base: CompressionProfile
    levels: tuple[tuple[float, ...], ...]
    attention: tuple[float, ...]
    mlp: tuple[float, ...]


def probes(
    base: CompressionProfile, *, levels: Sequence[int] | None = None, parts: bool = False
) -> list[CompressionProfile]:
    """The base, then each kept unit alone at each of `levels`, then each part alone removed.

    levels: None for all, -1 for a unit's highest. parts: whether parts are removed too.
    """
    space = base.space
    found = [base]
    for u, unit in enumerate(space.units):
        n = len(unit.levels)
        wanted = range(n) if levels is None else sorted({each % n for each in levels})
        for level in wanted:
            if base.keeps(unit.block, unit.part) and level != base.levels[u]:
                moved = base.levels.copy()
                moved[u] = level
                found.append(CompressionProfile.at(space, moved, base.attention, base.mlp))
    for block in range(space.n_blocks if parts else 0):
        for part in Part:
            masks = {Part.ATTENTION: base.attention.copy(), Part.MLP: base.mlp.copy()}
            if masks[part][block]:
                masks[part][block] = False
                found.append(CompressionProfile.at(space, base.levels, *masks.values()))
    return found


def output_errors(space: ProfileSpace) -> tuple[tuple[float, ...], ...]:
    """[unit][level]: the database's output errors, summed over a unit's layers: a prior."""
    from evolve.genomes.compression.database import Database

    if space.database is None:
        raise GenomeError("This space has no level database, so there are no output errors.")
    database = Database.open(space.database)
    return tuple(
        tuple(
            sum(
                database.error(linear.name, level)
                for linear, level in zip(unit.linears, at)
                if not isinstance(level, Dense)
            )
            for at in unit.levels
        )
        for unit in space.units
    )


def losses(
    base: CompressionProfile,
    records: Sequence[Record[CompressionProfile]],
    objective: Objective,
    prior: Sequence[Sequence[float]] | None = None,
) -> Losses:
    """The table of `records`, which hold the base (else it loses 0) and probes of it.

    A level that was not probed has the prior's loss, scaled by the unit's own probes or, if it
    has none, by the median scale of the units of its part; without a prior it is read off the
    unit's probed levels, linearly (0 if there is none). A failed probe loses ten times the
    worst that was measured. Records that are no probes of the base are left out.
    """
    space, told = base.space, costs([record.score for record in records], [objective])[:, 0]
    own = digest(base)
    start = next((float(c) for c, r in zip(told, records) if r.digest == own), 0.0)
    worst = float(max((abs(c - start) for c in told if np.isfinite(c)), default=1.0)) or 1.0
    units: list[dict[int, float]] = [{int(level): 0.0} for level in base.levels]
    parts = {part: [0.0] * space.n_blocks for part in Part}
    for record, cost in zip(records, told.tolist()):
        loss = cost - start if np.isfinite(cost) else FAILED * worst
        genome = record.genome
        lost = [
            (part, int(block))
            for part, ours, its in (
                (Part.ATTENTION, base.attention, genome.attention),
                (Part.MLP, base.mlp, genome.mlp),
            )
            for block in np.flatnonzero(ours & ~its)
        ]
        moved = np.flatnonzero(genome.levels != base.levels).tolist()
        if len(lost) == 1:
            parts[lost[0][0]][lost[0][1]] = loss
        elif not lost and len(moved) == 1:
            units[moved[0]][int(genome.levels[moved[0]])] = loss
    levels = _completed(base, units, prior)
    return Losses(base, levels, tuple(parts[Part.ATTENTION]), tuple(parts[Part.MLP]))


def solved(found: Losses, budget: Budget) -> CompressionProfile:
    """The profile of `budget` with the least sum of losses.

    Parts first, if the budget fixes how many are removed: of each kind those that lose least;
    then levels by the knapsack. Removals that a budget leaves free stay as the base has them.
    Raises `GenomeError` if those removals leave nothing within the limit.
    """
    space, base = budget.space, found.base
    masks = [base.attention, base.mlp]
    if budget.removed is not None:
        masks = [
            _kept(np.array(row), k) for row, k in zip((found.attention, found.mlp), budget.removed)
        ]
    lowest = CompressionProfile.at(space, np.zeros(len(space.units)), *masks)
    kept = np.flatnonzero(space.spread(*masks)).tolist()
    levels = np.zeros(len(space.units), np.int64)
    if budget.cost is None:
        return CompressionProfile.at(space, base.levels, *masks)
    # What is spent before any kept unit has a level: the rest of the file.
    rest = budget.cost.of(lowest) - sum(budget.cost.units[u][0] for u in kept)
    levels[kept] = least_loss(
        [found.levels[u] for u in kept],
        [budget.cost.units[u] for u in kept],
        budget.limit - rest,
    )
    return CompressionProfile.at(space, levels, *masks)


def _kept(losses: np.ndarray, k: int) -> np.ndarray:
    """(n_blocks,) bool: all but the `k` that lose least, the earliest of equals."""
    mask = np.ones(len(losses), bool)
    mask[np.argsort(losses, kind="stable")[:k]] = False
    return mask


def _completed(
    base: CompressionProfile,
    units: Sequence[Mapping[int, float]],
    prior: Sequence[Sequence[float]] | None,
) -> tuple[tuple[float, ...], ...]:
    """Every unit's loss at every level."""
    space = base.space
    if prior is None:
        return tuple(_line(known, len(unit.levels)) for unit, known in zip(space.units, units))
    shapes = [np.asarray(row) - row[int(level)] for row, level in zip(prior, base.levels)]
    scales = [_scale(shape, known) for shape, known in zip(shapes, units)]
    usual = {part: _median(scales, space, part) for part in Part}
    found = []
    for unit, shape, known, scale in zip(space.units, shapes, units, scales):
        row = (usual[unit.part] if scale is None else scale) * shape
        for level, loss in known.items():
            row[level] = loss
        found.append(tuple(row.tolist()))
    return tuple(found)


def _line(known: Mapping[int, float], n: int) -> tuple[float, ...]:
    """(n,) losses on lines through the known ones, the outer lines going on; 0 if one is known."""
    at = sorted(known)
    if len(at) < 2:
        return (0.0,) * n
    found = []
    for level in range(n):
        right = next((i for i, each in enumerate(at[1:-1], 1) if each >= level), len(at) - 1)
        a, b = at[right - 1], at[right]
        found.append(known[a] + (known[b] - known[a]) * (level - a) / (b - a))
    return tuple(found)


def _scale(shape: np.ndarray, known: Mapping[int, float]) -> float | None:
    """Least squares of the probed losses on the prior; None without a probe that says it."""
    at = list(known)
    weight = float((shape[at] ** 2).sum())
    if not weight:
        return None
    return max(float(shape[at] @ np.array(list(known.values()))) / weight, 0.0)


def _median(scales: Sequence[float | None], space: ProfileSpace, part: Part) -> float:
    """Of the units of `part`, else of all, else 1."""
    own = [s for s, unit in zip(scales, space.units) if s is not None and unit.part is part]
    found = own or [s for s in scales if s is not None]
    return float(np.median(found)) if found else 1.0
