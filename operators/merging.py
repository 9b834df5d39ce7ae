"""Crossovers that respect a model's layers. Know a gene's depth, not what it weighs.

Split point: M2N2 (Abrantes, Lange & Tang 2025, "Competition and Attraction Improve Model
Fusion", arXiv 2508.16204). It mixes two flat weight vectors by SLERP at a random split; on a
recipe the genes are coefficients, not directions in weight space, so they are mixed linearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from evolve.errors import ExperimentError
from evolve.genomes.vector import VectorLike
from evolve.score import Needs, Record
from operators.vector import mates

V = TypeVar("V", bound=VectorLike)


@dataclass(frozen=True)
class LayerCrossover:
    """Whole layer groups (genes of one `box.depth`) from the second parent with `rate`."""

    rate: float = 0.5
    name: str = "layers"
    arity: int = 2
    needs: Needs | None = None

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ExperimentError(
                f"layers has rate={self.rate}; give a probability in (0, 1] a layer group."
            )

    def vary(self, parents: Sequence[Record[V]], rng: np.random.Generator) -> V:
        """Raises `Infertile` for parents of different kinds or boxes."""
        first, second = mates(parents, self.arity, self.name)
        groups, group = np.unique(first.box.depth, return_inverse=True)
        taken = rng.random(len(groups)) < self.rate
        return first.at(np.where(taken[group], second.values, first.values))


@dataclass(frozen=True)
class SplitPoint:
    """M2N2's crossover: w of the second parent before a split, 1-w of it from there on.

    w ~ U(0, 1); the split is uniform over the n+1 borders of the n layer groups, so either mix
    may take all. A split at w = 0 or 1 is a one-point crossover.
    """

    name: str = "split"
    arity: int = 2
    needs: Needs | None = None

    def vary(self, parents: Sequence[Record[V]], rng: np.random.Generator) -> V:
        """Raises `Infertile` for parents of different kinds or boxes."""
        first, second = mates(parents, self.arity, self.name)
        groups, group = np.unique(first.box.depth, return_inverse=True)
        w = rng.random()
        split = rng.integers(len(groups) + 1)
        t = np.where(group < split, w, 1.0 - w)
        return first.at((1.0 - t) * first.values + t * second.values)
