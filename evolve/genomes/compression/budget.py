"""What a profile costs, and the budget it has to keep. Knows sizes and tables, no weights.

A cost is additive: something fixed, something a block (gone with the block), and something a
unit and level. That is what makes a budget exact under level switches, and a solver possible.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite

import numpy as np

from evolve.errors import GenomeError
from evolve.genomes.compression.anatomy import Linear, Part
from evolve.genomes.compression.level import Level, Zeros, stored_bytes
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import ProfileSpace


@dataclass(frozen=True)
class Cost:
    """An additive cost of profiles. Build it with one of the functions below.

    `removed_counts`: a removed part still costs its lowest level while the other part of its
    block is kept, as its zeroed tensors stay in the file; a removed block costs nothing.
    """

    name: str
    unit: str
    fixed: int
    blocks: tuple[int, ...]  # beside its units
    units: tuple[tuple[int, ...], ...]  # [unit][level]; a latency need not ascend
    removed_counts: bool

    def of(self, profile: CompressionProfile) -> int:
        """What `profile` costs. Microseconds: searches ask for every child."""
        blocks, starts, table = self._arrays
        whole = profile.attention | profile.mlp
        masks = (whole, whole) if self.removed_counts else (profile.attention, profile.mlp)
        units = table[starts + profile.levels] * profile.space.spread(*masks)
        return self.fixed + int(blocks @ whole) + int(units.sum())

    @property
    def in_bytes(self) -> bool:
        """Whether it counts bytes: only under such a cost is attention traded for MLP."""
        return self.unit == "B"

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """int64: (n_blocks,), where each unit starts in the table, and all units' tables."""
        ends = np.cumsum([0, *(len(costs) for costs in self.units)])
        table = [cost for costs in self.units for cost in costs]
        return np.array(self.blocks, np.int64), ends[:-1], np.array(table, np.int64)


def file_bytes(space: ProfileSpace) -> Cost:
    """Bytes of the tensors in the exported checkpoint (its headers come on top, under 1 %)."""
    anatomy, itemsize = space.anatomy, space.anatomy.itemsize

    def size(linear: Linear, level: Level) -> int:
        return stored_bytes(level, linear.rows, linear.columns, itemsize)

    blocks = tuple(anatomy.other_bytes(i) for i in range(space.n_blocks))
    return Cost("bytes", "B", anatomy.other_bytes(), blocks, _table(space, size), True)


def weight_bits(space: ProfileSpace) -> Cost:
    """Bits of the blocks' linear layers with scales; over `n_weights` the average bits."""
    itemsize = space.anatomy.itemsize

    def size(linear: Linear, level: Level) -> int:
        return 8 * stored_bytes(level, linear.rows, linear.columns, itemsize)

    return Cost("weight bits", "bit", 0, (0,) * space.n_blocks, _table(space, size), True)


def kept_weights(space: ProfileSpace) -> Cost:
    """Weights of the blocks' linear layers that are not zero by level or removal."""

    def kept(linear: Linear, level: Level) -> int:
        return linear.size - (level.count if isinstance(level, Zeros) else 0)

    return Cost("kept weights", "", 0, (0,) * space.n_blocks, _table(space, kept), False)


def latency(space: ProfileSpace, table: Mapping[tuple[str, str], float], fixed: float) -> Cost:
    """Nanoseconds a token from a measured `table`: (linear's name, level's name) -> seconds.

    `fixed`: seconds outside those layers. A removed part costs nothing. Raises `GenomeError` if
    an entry is missing or is no time.
    """

    def taken(linear: Linear, level: Level) -> int:
        seconds = table.get((linear.name, level.name))
        if seconds is None or not 0 <= seconds < inf:
            what = "lacks" if seconds is None else f"says {seconds} s for"
            raise GenomeError(
                f"The latency table {what} {linear.name} at {level.name}; measure every level of "
                "every layer."
            )
        return round(1e9 * seconds)

    if not (isfinite(fixed) and fixed >= 0):
        raise GenomeError(f"The fixed latency is {fixed} s; give 0 or more.")

    return Cost(
        "latency", "ns", round(1e9 * fixed), (0,) * space.n_blocks, _table(space, taken), False
    )


def n_weights(space: ProfileSpace) -> int:
    """How many weights the blocks' linear layers have."""
    return sum(unit.size for unit in space.units)


def _table(
    space: ProfileSpace, size: Callable[[Linear, Level], int]
) -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(sum(size(*each) for each in zip(unit.linears, at)) for at in unit.levels)
        for unit in space.units
    )


def _most(space: ProfileSpace, cost: Cost, sign: int) -> np.ndarray:
    """(i, j): the largest `sign` times cost with i attentions and j MLPs removed; n + 1 each.

    By dynamic programming over the blocks, as each is kept, half removed or gone.
    """
    n = space.n_blocks
    best = np.zeros((n, 2))  # float64 holds whole numbers to 9e15 exactly
    lowest = np.zeros((n, 2))
    for unit, costs in zip(space.units, cost.units):
        place = unit.block, int(unit.part is Part.MLP)
        best[place] += max(sign * each for each in costs)
        lowest[place] += sign * costs[0]
    if not cost.removed_counts:
        lowest[:] = 0
    total = np.full((n + 1, n + 1), -inf)
    total[0, 0] = sign * cost.fixed
    for i in range(n):
        kept = total + best[i].sum()
        kept[1:] = np.maximum(kept[1:], total[:-1] + lowest[i, 0] + best[i, 1])
        kept[:, 1:] = np.maximum(kept[:, 1:], total[:, :-1] + best[i, 0] + lowest[i, 1])
        kept += sign * cost.blocks[i]
        kept[1:, 1:] = np.maximum(kept[1:, 1:], total[:-1, :-1])
        total = kept
    return total


@dataclass(frozen=True)
class Budget:
    """`cost` of at most `limit`, and how many parts of each kind are removed, exactly.

    None: no cost is limited; any number may be removed. Raises `GenomeError`, with the range
    that profiles reach, for a limit that none of them keeps.
    """

    space: ProfileSpace
    cost: Cost | None = None
    limit: int = 0
    removed: tuple[int, int] | None = None  # attentions, MLPs

    def __post_init__(self) -> None:
        n = self.space.n_blocks
        if self.removed is not None and not all(0 <= k < n for k in self.removed):
            raise GenomeError(
                f"Budget.removed is {self.removed} of {n} blocks; give 0 to {n - 1} of each."
            )
        if self.removed not in (None, (0, 0)) and not self.space.depth:
            raise GenomeError("Budget.removed needs a space that was built with depth=True.")
        if self.cost is None and self.removed is None:
            raise GenomeError("Budget limits nothing; give a cost and its limit, or removed.")
        if self.cost is not None:
            if len(self.cost.units) != len(self.space.units):
                raise GenomeError(
                    f"Budget.cost has {len(self.cost.units)} units, the space "
                    f"{len(self.space.units)}; build the cost from the same space."
                )
            low, high = self.reach(self.cost)
            if self.limit < low:
                raise GenomeError(
                    f"No profile has {self.cost.name} of at most {self.limit:,} {self.cost.unit}; "
                    f"they reach from {low:,} to {high:,}."
                )

    def reach(self, cost: Cost) -> tuple[int, int]:
        """The least and the most that profiles with these removals cost, exactly.

        If any number may be removed: with one part of each kind left at least.
        """
        n = self.space.n_blocks
        least, most = -_most(self.space, cost, -1), _most(self.space, cost, 1)
        if self.removed is not None:
            return int(least[self.removed]), int(most[self.removed])
        k = n if self.space.depth else 1
        return int(least[:k, :k].min()), int(most[:k, :k].max())

    def keeps(self, profile: CompressionProfile) -> bool:
        """Whether `profile` is within the budget."""
        gone = (int((~profile.attention).sum()), int((~profile.mlp).sum()))
        if self.removed is not None and gone != self.removed:
            return False
        return self.cost is None or self.cost.of(profile) <= self.limit
