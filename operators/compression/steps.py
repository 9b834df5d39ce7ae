"""Moves of levels that keep no budget: for fronts, where the cost is an objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evolve.errors import ExperimentError, Infertile
from evolve.genomes.compression.profile import CompressionProfile
from evolve.score import Needs, Record


@dataclass(frozen=True)
class LevelStep:
    """Each kept unit goes a level up or down with probability `rate`, at least one of them.

    The share of ups is drawn from [0, 1] a child, so that children spread along the front.
    """

    rate: float = 0.1
    name: str = "level step"
    arity: int = 1
    needs: Needs | None = None

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ExperimentError(f"level step has rate={self.rate}; give one in (0, 1].")

    def vary(
        self, parents: Sequence[Record[CompressionProfile]], rng: np.random.Generator
    ) -> CompressionProfile:
        """Raises `Infertile` if no unit has another level."""
        parent = parents[0].genome
        space = parent.space
        kept = space.spread(parent.attention, parent.mlp)
        able = np.flatnonzero(kept & (space.n_levels > 1))
        if not len(able):
            raise Infertile(f"{self.name}: no kept unit has more than one level.")
        chosen = able[rng.random(len(able)) < self.rate]
        if not len(chosen):
            chosen = rng.choice(able, 1)
        levels = parent.levels.astype(np.int64)
        up = rng.random(len(chosen)) < rng.random()
        top = space.n_levels[chosen] - 1
        # At an end there is one way only.
        up = np.where(levels[chosen] == 0, True, np.where(levels[chosen] == top, False, up))
        levels[chosen] += np.where(up, 1, -1)
        return CompressionProfile.at(space, levels, parent.attention, parent.mlp)


@dataclass(frozen=True)
class LevelMix:
    """Each unit's level from either parent, at even odds; what is removed as in the first."""

    name: str = "level mix"
    arity: int = 2
    needs: Needs | None = None

    def vary(
        self, parents: Sequence[Record[CompressionProfile]], rng: np.random.Generator
    ) -> CompressionProfile:
        """Raises `Infertile` for parents of two spaces."""
        first, second = (parent.genome for parent in parents[:2])
        if first.levels.shape != second.levels.shape:
            raise Infertile(f"{self.name} cannot cross profiles of different spaces.")
        levels = np.where(rng.random(len(first.levels)) < 0.5, first.levels, second.levels)
        return CompressionProfile.at(first.space, levels, first.attention, first.mlp)
