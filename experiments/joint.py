"""Where the joint search for bits and depth begins: a depth search, then the knapsack of bits.

Sets of whole blocks are removed from the uniform profile and measured; each that is measured is
filled with levels by the knapsack, and the one with the least expected divergence is the start.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evolve.errors import GenomeError
from evolve.genome import digest
from evolve.genomes.compression.budget import Budget
from evolve.genomes.compression.profile import CompressionProfile
from evolve.score import Record, costs
from fitness.divergence.divergence import DIVERGENCE
from operators.compression.solver import Losses, solved


def block_sets(table: Losses) -> list[CompressionProfile]:
    """The base without n whole blocks, n from 1 to just below half: for each n two sets.

    Those n that lose least alone, and the same with the last of them replaced by the next.
    """
    order = np.argsort(np.add(table.attention, table.mlp), kind="stable")
    numbers = range(1, len(order) // 2)
    gone = [each for n in numbers for each in (order[:n], [*order[: n - 1], order[n]])]
    return [_without(table.base, ~np.isin(np.arange(len(order)), each)) for each in gone]


def joint_start(
    table: Losses,
    budget: Budget,
    probed: Sequence[Record[CompressionProfile]],
    tried: Sequence[Record[CompressionProfile]],
) -> CompressionProfile:
    """The best profile of `budget`: a depth of `tried`, or the base's, and levels on what is kept.

    Expected: what the depth was measured to lose against the base, one of `probed`, and the
    levels' losses, as if they added up. Raises `GenomeError` if no depth leaves enough room.
    """
    own = digest(table.base)
    level = next((c for c, record in zip(_costs(probed), probed) if record.digest == own), 0.0)
    depths = [(table.base, 0.0)]
    depths += [(record.genome, cost - level) for record, cost in zip(tried, _costs(tried))]
    best: CompressionProfile | None = None
    least = np.inf
    for depth, lost in depths:
        try:
            profile = solved(replace(table, base=depth), budget)
        except GenomeError:  # not small enough yet
            continue
        kept = np.flatnonzero(budget.space.spread(profile.attention, profile.mlp))
        expected = lost + sum(table.levels[u][profile.levels[u]] for u in kept)
        if best is None or expected < least:
            best, least = profile, expected
    if best is None:
        raise GenomeError(
            f"No depth of {len(depths)} leaves room within {budget.limit:,}; give a larger share."
        )
    return best


def _costs(records: Sequence[Record[CompressionProfile]]) -> list[float]:
    found: list[float] = costs([record.score for record in records], [DIVERGENCE])[:, 0].tolist()
    return found


def _without(base: CompressionProfile, kept: np.ndarray) -> CompressionProfile:
    return CompressionProfile.at(base.space, base.levels, kept, kept)
