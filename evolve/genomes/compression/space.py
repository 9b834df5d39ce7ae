"""The space of compression profiles of one model: which layers share a level, and which levels.

Knows sizes, not weights: those are in the level database. A unit is what a search moves: one
linear layer, or several that fused kernels hold as one matrix (q, k, v; gate, up).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from math import gcd
from pathlib import Path
from typing import Self

import numpy as np

from evolve.errors import GenomeError
from evolve.genome import WHERE, Json
from evolve.genomes.compression.anatomy import FUSED, Anatomy, Linear, Names, Part
from evolve.genomes.compression.level import Bits, Dense, Level, Zeros


@dataclass(frozen=True)
class BitGrid:
    """Levels of `bits` bits, ascending, in groups of `group` inputs; `dense`: also untouched."""

    bits: tuple[int, ...] = (2, 3, 4, 5, 6)
    group: int = 64
    dense: bool = False

    def __post_init__(self) -> None:
        if not self.bits or list(self.bits) != sorted(set(self.bits)):
            raise GenomeError(f"BitGrid.bits is {self.bits}; give one or more, ascending.")
        for bits in self.bits:
            Bits(bits, self.group)


@dataclass(frozen=True)
class ZeroGrid:
    """Levels around `sparsity`, `reach` to either side, every one the same number of weights.

    A step is the greatest common divisor of the units' sizes, divided by `divisor`: so a step up
    in one unit pays exactly for a step down in any other (EvoPress's `weights_diff`). Units end
    where they would have no zeros, or no weights.
    """

    sparsity: float = 0.5
    reach: int = 8
    divisor: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.sparsity < 1 or self.reach < 1 or self.divisor < 1:
            raise GenomeError(
                f"{self} is no grid; give a sparsity between 0 and 1, and a reach and a divisor "
                "of 1 or more."
            )


@dataclass(frozen=True)
class Unit:
    """Linear layers of one part of one block that share a level.

    `levels[l][i]` is the level of `linears[i]` when the unit is at `l`; a higher `l` keeps more.
    """

    block: int
    part: Part
    linears: tuple[Linear, ...]
    levels: tuple[tuple[Level, ...], ...]

    @property
    def name(self) -> str:
        """For people: `0.attention.q_proj+k_proj+v_proj`."""
        return f"{self.block}.{self.part}.{'+'.join(linear.own for linear in self.linears)}"

    @property
    def size(self) -> int:
        """How many weights."""
        return sum(linear.size for linear in self.linears)


@dataclass(frozen=True)
class ProfileSpace:
    """Everything that profiles of one search share. Build it with `ProfileSpace.of`.

    `grid` None: no layer is changed. `depth`: parts may be removed.
    """

    anatomy: Anatomy
    database: Path | None
    grid: BitGrid | ZeroGrid | None
    depth: bool
    tied: bool
    names: Names | None

    @classmethod
    def of(
        cls,
        model: str | Path,
        database: str | Path | None = None,
        *,
        grid: BitGrid | ZeroGrid | None = None,
        depth: bool = False,
        tied: bool = True,
        names: Names | None = None,
    ) -> Self:
        """The space over `model` (a directory or a hub id) and its level database.

        Raises `CheckpointError` for unknown blocks, `GenomeError` for groups that do not divide
        a layer's inputs, a grid without a database, or a database that is of another model or
        lacks levels.
        """
        if grid is None and not depth:
            raise GenomeError("ProfileSpace has nothing to choose; give a grid, or depth=True.")
        if grid is not None and database is None:
            raise GenomeError(
                "A grid of levels needs a level database; make one with `evolve levels build "
                "MODEL --out DIR` and pass its directory."
            )
        place = None if database is None else Path(database).expanduser().resolve()
        space = cls(Anatomy.of(model, names), place, grid, depth, tied, names)
        space.check()
        return space

    def check(self) -> None:
        """Raises `GenomeError` where model, grid and database do not fit."""
        _ = self.units  # raises where the grid does not fit the model
        if self.database is not None and self.grid is not None:
            from evolve.genomes.compression.database import Database

            Database.open(self.database).check(self)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """What has a level, in model order; those of a part lie together."""
        return units_of(self.anatomy, self.grid, self.tied)

    @cached_property
    def n_levels(self) -> np.ndarray:
        """(n_units,) int64: how many levels each unit has."""
        return np.array([len(unit.levels) for unit in self.units], np.int64)

    @property
    def n_blocks(self) -> int:
        return len(self.anatomy.blocks)

    def spread(self, attention: np.ndarray, mlp: np.ndarray) -> np.ndarray:
        """(n_units,): each unit's own entry of `attention` and `mlp`, both (n_blocks,)."""
        spread: np.ndarray = np.concatenate((attention, mlp))[self._places]
        return spread

    @cached_property
    def _places(self) -> np.ndarray:
        n = self.n_blocks
        return np.array([u.block + n * (u.part is Part.MLP) for u in self.units], np.int64)

    @cached_property
    def facts(self) -> Mapping[str, Json]:
        """The space as JSON: what a packed profile carries."""
        place, digest = self.database, None
        if place is not None:
            from evolve.genomes.compression.database import Database

            digest = Database.open(place).digest
        return {
            WHERE: [str(self.anatomy.source.path), None if place is None else str(place)],
            "model": self.anatomy.source.digest,
            "database": digest,
            "grid": None if self.grid is None else {type(self.grid).__name__: asdict(self.grid)},
            "depth": self.depth,
            "tied": self.tied,
            "names": None if self.names is None else asdict(self.names),
        }


def units_of(
    anatomy: Anatomy, grid: BitGrid | ZeroGrid | None, tied: bool = True
) -> tuple[Unit, ...]:
    """The units of a model under `grid`. Raises `GenomeError` as `ProfileSpace.of` does."""
    groups = list(_groups(anatomy, tied))
    if isinstance(grid, BitGrid):
        _divides(anatomy, grid.group)
    step = _step([sum(each.size for each in g[2]) for g in groups], grid)
    return tuple(
        Unit(block, part, linears, _levels(linears, grid, step)) for block, part, linears in groups
    )


def wanted(units: Sequence[Unit]) -> dict[str, tuple[Level, ...]]:
    """The levels that a database must have: by the linear layer's name, in `units`' order."""
    found: dict[str, dict[Level, None]] = {}
    for unit in units:
        for at in unit.levels:
            for linear, level in zip(unit.linears, at):
                if not isinstance(level, Dense):
                    found.setdefault(linear.name, {})[level] = None
    return {name: tuple(levels) for name, levels in found.items()}


def middle(unit: Unit, sparsity: float) -> int:
    """The level of a `ZeroGrid`'s unit that has `sparsity`."""
    zeros = [sum(each.count for each in at if isinstance(each, Zeros)) for at in unit.levels]
    return zeros.index(round(unit.size * sparsity))


def _groups(anatomy: Anatomy, tied: bool) -> Iterator[tuple[int, Part, tuple[Linear, ...]]]:
    for i, block in enumerate(anatomy.blocks):
        for part in Part:
            left = list(block.part(part))
            while left:
                tie = next((tie for tie in FUSED if tied and left[0].own in tie), ())
                group = [each for each in left if each is left[0] or each.own in tie]
                left = [each for each in left if each not in group]
                yield i, part, tuple(group)


def _divides(anatomy: Anatomy, group: int) -> None:
    """Raises `GenomeError` if `group` does not divide every layer's inputs."""
    for linear in anatomy.linears:
        if linear.columns % group:
            fits = gcd(128, *(each.columns for each in anatomy.linears))
            raise GenomeError(
                f"{linear.name} has {linear.columns} inputs, which groups of {group} do not "
                f"divide; give BitGrid a group that divides every layer's, such as {fits}."
            )


def _step(sizes: list[int], grid: BitGrid | ZeroGrid | None) -> int:
    """How many weights one level of a `ZeroGrid` differs from the next."""
    if not isinstance(grid, ZeroGrid):
        return 0
    step = gcd(*sizes) // grid.divisor
    if step < 1:
        raise GenomeError(
            f"ZeroGrid.divisor is {grid.divisor}, but the units' sizes share only the divisor "
            f"{gcd(*sizes)}; give at most that."
        )
    return step


def _levels(
    linears: tuple[Linear, ...], grid: BitGrid | ZeroGrid | None, step: int
) -> tuple[tuple[Level, ...], ...]:
    if grid is None:
        return ((Dense(),) * len(linears),)
    if isinstance(grid, BitGrid):
        rows: list[Level] = [Bits(bits, grid.group) for bits in grid.bits]
        rows += [Dense()] * grid.dense
        return tuple((level,) * len(linears) for level in rows)
    total = sum(linear.size for linear in linears)
    middle = round(total * grid.sparsity)
    if not 0 < middle < total:
        raise GenomeError(
            f"ZeroGrid.sparsity is {grid.sparsity}, {middle} of the {total:,} weights of "
            f"{linears[0].name} and those tied to it; give one that zeroes some and leaves some."
        )
    counts = [middle - step * i for i in range(-grid.reach, grid.reach + 1)]
    return tuple(_shared(linears, n, total) for n in counts if 0 < n < total)


def _shared(linears: tuple[Linear, ...], zeros: int, total: int) -> tuple[Level, ...]:
    """`zeros` in proportion to the layers' sizes; their sum is exact."""
    ends = [0]
    for linear in linears:
        ends.append(ends[-1] + linear.size)
    shares = [zeros * end // total for end in ends]
    return tuple(Zeros(b - a) for a, b in pairwise(shares))
