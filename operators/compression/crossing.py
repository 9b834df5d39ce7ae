"""Crossover of two profiles: parts of blocks from either parent, then settled to the budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evolve.errors import ExperimentError, Infertile
from evolve.genomes.compression.anatomy import Part
from evolve.genomes.compression.budget import Budget
from evolve.genomes.compression.profile import CompressionProfile
from evolve.score import Needs, Record
from operators.compression.draft import settled

TRIES = 16


@dataclass(frozen=True)
class ProfileCrossover:
    """Each block's part, kept or removed, from either parent with its levels.

    whole: a block is taken as one; else its attention and its MLP apart, and, where both parents
    keep a part, each unit's level. Numbers removed are then made right at parts that the parents
    differ in, and levels step down, or up, to the limit.
    """

    budget: Budget
    whole: bool = False
    name: str = "profile crossover"
    arity: int = 2
    needs: Needs | None = None

    def vary(
        self, parents: Sequence[Record[CompressionProfile]], rng: np.random.Generator
    ) -> CompressionProfile:
        """Raises `Infertile` for parents of two spaces, or if no child keeps the budget."""
        if len(parents) != 2:
            raise ExperimentError(f"{self.name} was given {len(parents)} parents; give 2.")
        pair = [parent.genome for parent in parents]
        if pair[0].levels.shape != pair[1].levels.shape:
            raise Infertile(f"{self.name} cannot cross profiles of different spaces.")
        for _ in range(TRIES):
            child = self._crossed(pair, rng)
            if child is not None:
                return child
        raise Infertile(f"{self.name} finds no child within the budget.")

    def _crossed(
        self, pair: Sequence[CompressionProfile], rng: np.random.Generator
    ) -> CompressionProfile | None:
        space = self.budget.space
        takes = rng.integers(2, size=(2, space.n_blocks))  # [part][block]: whose
        if self.whole:
            takes[1] = takes[0]
        masks = []
        for i, (one, other) in enumerate(zip(*((p.attention, p.mlp) for p in pair))):
            masks.append(np.where(takes[i] == 0, one, other))
            if self.budget.removed is not None:
                _mend_(masks[i], takes[i], one != other, self.budget.removed[i], rng)
        levels = np.zeros(len(space.units), np.int64)
        for u, unit in enumerate(space.units):
            both = all(each.keeps(unit.block, unit.part) for each in pair)
            whose = int(takes[int(unit.part is Part.MLP), unit.block])
            if both and not self.whole:
                whose = int(rng.integers(2))
            levels[u] = pair[whose].levels[u]
        return settled(self.budget, levels, masks[0], masks[1], rng)


def _mend_(
    mask: np.ndarray, takes: np.ndarray, unlike: np.ndarray, k: int, rng: np.random.Generator
) -> None:
    """Turn random bits of `mask` that the parents differ in until k are False.

    There are always enough of them where both parents have k.
    """
    while (gone := int((~mask).sum())) != k:
        able = np.flatnonzero((mask == (gone < k)) & unlike)
        if not len(able):
            return
        block = int(rng.choice(able))
        mask[block] = not mask[block]
        takes[block] = 1 - takes[block]
