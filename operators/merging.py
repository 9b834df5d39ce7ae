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

from evolve.errors import ExperimentError, Infertile
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


@dataclass(frozen=True)
class LayerShift:
    """One step, shared by the same gene of consecutive layer groups: an expert's weight, say.

    Neighbouring layers of a fine-tune want similar weights, so a step that moves them together
    finds in one birth what independent steps find in many. The gene and the range of groups
    (from one to all) are uniform, the step is normal with a log-uniform deviation between
    `sigma[0]` and `sigma[1]` box widths: no step size to tune, large and small ones all along.
    """

    sigma: tuple[float, float] = (0.01, 0.2)
    name: str = "shift"
    arity: int = 1
    needs: Needs | None = None

    def __post_init__(self) -> None:
        if not 0 < self.sigma[0] <= self.sigma[1]:
            raise ExperimentError(
                f"shift has sigma={self.sigma}; give two growing box widths above 0."
            )

    def vary(self, parents: Sequence[Record[V]], rng: np.random.Generator) -> V:
        """Raises `Infertile` for a genome whose layer groups have unequal numbers of genes."""
        (parent,) = mates(parents, self.arity, self.name)
        order = np.argsort(parent.box.depth, kind="stable")
        _, sizes = np.unique(parent.box.depth, return_counts=True)
        if len(set(sizes.tolist())) > 1:
            raise Infertile(
                f"shift got layer groups of {sizes.tolist()} genes; it needs the same genes in "
                "each: use another mutation."
            )
        lanes = order.reshape(len(sizes), -1)  # (groups, genes of a group)
        first, last = np.sort(rng.integers(len(sizes), size=2))
        moved = lanes[first : last + 1, rng.integers(lanes.shape[1])]
        sigma = np.exp(rng.uniform(*np.log(self.sigma)))
        width = (parent.box.high - parent.box.low)[moved]
        values = parent.values.copy()
        values[moved] += sigma * width * rng.standard_normal()
        return parent.at(values)
