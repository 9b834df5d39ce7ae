"""A compression profile: the genome. What it keeps of each block, and its layers' levels.

Knows the space and the level database, no search and no fitness. A removed part's layers are
held at their lowest level, so that profiles that mean the same have one digest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from evolve.errors import GenomeError
from evolve.genome import WHERE, Packed, canonical
from evolve.genomes.compression.anatomy import Linear, Names, Part
from evolve.genomes.compression.level import Dense, Level
from evolve.genomes.compression.space import BitGrid, ProfileSpace, ZeroGrid, middle

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class CompressionProfile:
    """One candidate. Build it with `at`, `uniform` or `dense`; the constructor checks.

    levels: (n_units,) int8, an index into each unit's levels; attention, mlp: (n_blocks,) bool,
    False where that part of the block is removed. Raises `GenomeError`.
    """

    space: ProfileSpace
    levels: np.ndarray
    attention: np.ndarray
    mlp: np.ndarray

    def __post_init__(self) -> None:
        units, n = self.space.units, self.space.n_blocks
        if self.levels.shape != (len(units),):
            raise GenomeError(
                f"CompressionProfile has {self.levels.shape} levels, the model has {len(units)} "
                "units; build it with CompressionProfile.at."
            )
        if self.attention.shape != (n,) or self.mlp.shape != (n,):
            raise GenomeError(
                f"CompressionProfile keeps {self.attention.shape} attentions and "
                f"{self.mlp.shape} MLPs, the model has {n} blocks."
            )
        kept = self.attention, self.mlp
        if self.levels.dtype != np.int8 or any(mask.dtype != np.bool_ for mask in kept):
            raise GenomeError(
                f"CompressionProfile has {self.levels.dtype}, {self.attention.dtype} and "
                f"{self.mlp.dtype}; levels are int8, masks bool; build it with "
                "CompressionProfile.at."
            )
        if not self.space.depth and not (self.attention.all() and self.mlp.all()):
            raise GenomeError("This space removes nothing; build it with depth=True.")
        _check_levels(self.space, self.levels)
        gone = ~self.space.spread(self.attention, self.mlp)
        if (self.levels[gone] != 0).any():
            unit = units[int(np.flatnonzero(gone & (self.levels != 0))[0])]
            raise GenomeError(f"{unit.name} is removed and not at level 0; use `at`.")

    @classmethod
    def at(
        cls,
        space: ProfileSpace,
        levels: np.ndarray,
        attention: np.ndarray | None = None,
        mlp: np.ndarray | None = None,
    ) -> Self:
        """The profile with these levels; what is removed goes to level 0. None: all kept.

        levels: (n_units,) whole numbers of any type; attention, mlp: (n_blocks,); all copied.
        """
        n = space.n_blocks
        kept = [
            np.ones(n, bool) if mask is None else np.array(mask, bool) for mask in (attention, mlp)
        ]
        given = np.asarray(levels)
        if given.shape == (len(space.units),) and kept[0].shape == kept[1].shape == (n,):
            given = np.where(space.spread(*kept), given, 0)
            _check_levels(space, given)  # before int8 could wrap them
        return cls(space, given.astype(np.int8), *kept)

    @classmethod
    def uniform(cls, space: ProfileSpace, *, bits: int | None = None) -> Self:
        """Every layer at `bits` bits, or (None) at a `ZeroGrid`'s sparsity; nothing removed.

        Raises `GenomeError` if the grid has no such level.
        """
        grid, units = space.grid, space.units
        if isinstance(grid, BitGrid) and bits in grid.bits:
            return cls.at(space, np.full(len(units), grid.bits.index(bits)))
        if isinstance(grid, ZeroGrid) and bits is None:
            return cls.at(space, np.array([middle(unit, grid.sparsity) for unit in units]))
        raise GenomeError(f"The grid {grid} has no uniform level of {bits} bits.")

    @classmethod
    def dense(cls, space: ProfileSpace) -> Self:
        """Every unit at its highest level, nothing removed."""
        return cls.at(space, space.n_levels - 1)

    def keeps(self, block: int, part: Part) -> bool:
        """Whether that part of the block is there."""
        return bool((self.attention if part is Part.ATTENTION else self.mlp)[block])

    def layers(self) -> Iterator[tuple[Linear, Level]]:
        """Every linear layer with its level, unit by unit; removed ones too."""
        for unit, level in zip(self.space.units, self.levels.tolist()):
            yield from zip(unit.linears, unit.levels[level])

    def pack(self) -> Packed:
        arrays = {"levels": self.levels, "attention": self.attention, "mlp": self.mlp}
        return Packed(self.space.facts, arrays)

    @classmethod
    def unpack(cls, packed: Packed) -> Self:
        """Raises `CheckpointError` or `GenomeError` if the model or the database has changed."""
        facts: Mapping[str, Any] = packed.facts
        space = _space_of(facts)
        for what in ("model", "database"):
            if space.facts[what] != facts[what]:
                raise GenomeError(
                    f"The {what} at {facts[WHERE][what == 'database']} is not the one that this "
                    "profile was made with (other sha256); put that one back."
                )
        a = packed.arrays
        return cls(space, a["levels"], a["attention"].astype(bool), a["mlp"].astype(bool))

    def express(self) -> dict[str, torch.Tensor]:
        """The model's tensors by the live model's names, dense, in their stored dtype.

        A removed part has a zero output projection, weight and bias: its output is zero.
        """
        from evolve.genomes.compression.database import Database

        space = self.space
        anatomy = space.anatomy
        entries = anatomy.source.entries
        tensors = {anatomy.live(n): t for n, t in anatomy.source.tensors(list(entries))}
        for linear, level in self.layers():
            if not isinstance(level, Dense):
                assert space.database is not None, "levels need a database"
                name = f"{linear.name}.weight"
                weight = Database.open(space.database).weight(linear, level)
                tensors[name] = (weight.T if linear.transposed else weight).contiguous()
        for i, block in enumerate(anatomy.blocks):
            for part in Part:
                if not self.keeps(i, part):
                    output = block.part(part)[-1].name
                    for name in (f"{output}.weight", f"{output}.bias"):
                        if name in tensors:
                            tensors[name] = tensors[name].new_zeros(tensors[name].shape)
        return tensors


def _check_levels(space: ProfileSpace, levels: np.ndarray) -> None:
    """Raises `GenomeError` for one of `levels`, (n_units,), that its unit does not have."""
    wrong = ~((levels >= 0) & (levels < space.n_levels) & (levels == np.trunc(levels)))  # no NaN
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        unit = space.units[i]
        raise GenomeError(f"{unit.name} has levels 0 to {len(unit.levels) - 1}, not {levels[i]}.")


def _space_of(facts: Mapping[str, Any]) -> ProfileSpace:
    """The space that `ProfileSpace.facts` tell of, built once a process."""
    return _built(canonical(facts))


@lru_cache(maxsize=8)
def _built(text: str) -> ProfileSpace:
    facts = json.loads(text)
    model, database = facts[WHERE]
    grid: BitGrid | ZeroGrid | None = None
    for kind, fields in (facts["grid"] or {}).items():
        if kind == BitGrid.__name__:
            grid = BitGrid(tuple(fields["bits"]), fields["group"], fields["dense"])
        else:
            grid = ZeroGrid(**fields)
    names = None if facts["names"] is None else Names(**facts["names"])
    return ProfileSpace.of(
        model, database, grid=grid, depth=facts["depth"], tied=facts["tied"], names=names
    )
