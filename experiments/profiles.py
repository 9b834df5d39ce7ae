"""A study of compression profiles: a model, its text, what is chosen, and the budget.

Knows no model (`compress_stories` and `compress_smollm` do) and no search (`arms` does).
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path

import numpy as np

from evolve.genomes.compression.budget import Budget, file_bytes, kept_weights
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ProfileSpace, ZeroGrid
from evolve.streams import Stream, rng_for
from experiments.material.levels import levels
from fitness.divergence import Divergence
from fitness.divergence.plan import minutes
from operators.compression import random_profile

BUDGET = 400_000  # evaluated tokens a search
FEW, MANY = 512, 4096  # tokens of the two stages
OFFSPRING = 16
UNIFORM = 3  # bits
JOINT_SHARE = 0.8  # of the uniform profile's bytes in blocks


class Mode(StrEnum):
    """What is chosen for each layer."""

    BITS = "bits"
    DEPTH = "depth"
    SPARSITY = "sparsity"
    JOINT = "joint"  # bits, and whole blocks may go


@dataclass(frozen=True, eq=False)
class Study:
    """A model and its text: (n, length) tokens each. `group`: inputs that share a scale.

    `removed`: how many attentions and how many MLPs go when `mode` is depth. `gpus`, `dtype`,
    `shard`, `threads`: as in `Divergence`; results depend on them in their last bits.
    """

    name: str
    model: Path
    mode: Mode
    group: int
    removed: int
    calibration: np.ndarray
    text: np.ndarray
    held_out: np.ndarray
    gpus: float = 0.0
    dtype: str = "float32"
    shard: int = 1
    threads: int = 1

    @cached_property
    def space(self) -> ProfileSpace:
        """Levels of every unit, or which parts stay."""
        if self.mode is Mode.DEPTH:
            return ProfileSpace.of(self.model, depth=True)
        grid = ZeroGrid() if self.mode is Mode.SPARSITY else BitGrid(group=self.group)
        database = levels(self.model, grid, self.calibration)
        return ProfileSpace.of(self.model, database, grid=grid, depth=self.mode is Mode.JOINT)

    @cached_property
    def uniform(self) -> CompressionProfile:
        """Every unit at the same level; over the budget for depth (the dense model) and joint."""
        if self.mode is Mode.DEPTH:
            return CompressionProfile.dense(self.space)
        bits = None if self.mode is Mode.SPARSITY else UNIFORM
        return CompressionProfile.uniform(self.space, bits=bits)

    @cached_property
    def budget(self) -> Budget:
        """What the uniform profile costs, JOINT_SHARE of it, or the number of removals."""
        if self.mode is Mode.DEPTH:
            return Budget(self.space, removed=(self.removed, self.removed))
        cost = (kept_weights if self.mode is Mode.SPARSITY else file_bytes)(self.space)
        limit = cost.of(self.uniform)
        if self.mode is Mode.JOINT:
            limit = cost.fixed + round(JOINT_SHARE * (limit - cost.fixed))
        return Budget(self.space, cost, limit)

    def plan(self, tokens: int) -> list[str]:
        """Lines: the budget of a profile, and what a search of so many tokens takes."""
        cost, limit = self.budget.cost, f"{self.budget.limit:,}"
        limits = f"{self.removed} attentions and {self.removed} MLPs removed"
        if cost is not None:
            limits = f"{cost.name} of at most {limit} {cost.unit}".rstrip()
        return [f"budget      {limits}", self.effort(tokens)]

    def effort(self, tokens: int) -> str:
        """A line: what a search of so many tokens takes."""
        took = f"about {minutes(self.space, tokens):.0f} min on one core"
        return f"in all      at most {tokens:,} tokens, {took}"

    def random(self, n: int, seed: int) -> list[CompressionProfile]:
        """`n` random profiles of the budget, by `seed`."""
        rng = rng_for(seed, 0, Stream.MASK)
        return [random_profile(self.space, self.budget, rng) for _ in range(n)]

    def sequences(self, tokens: int) -> int:
        """How many sequences are `tokens`."""
        return max(1, tokens // self.text.shape[1])

    def divergence(
        self, *rungs: int, fresh: bool = False, starts: tuple[int, ...] = ()
    ) -> Divergence:
        """KL on the search's text, `rungs` in tokens, `starts` in sequences."""
        sizes = tuple(self.sequences(rung) for rung in rungs)
        made = Divergence(self.space, self.text, sizes, fresh, batch=OFFSPRING, starts=starts)
        return self._on(made)

    @property
    def test(self) -> Divergence:
        """KL over the full vocabulary on text that no search sees."""
        return self._on(Divergence(self.space, self.held_out, top_k=0, batch=1))

    def _on(self, made: Divergence) -> Divergence:
        """`made` on this study's device."""
        return replace(
            made, gpus=self.gpus, dtype=self.dtype, shard=self.shard, threads=self.threads
        )

    def whole(self, tokens: int) -> int:
        """What so many tokens are in whole sequences."""
        return self.sequences(tokens) * self.text.shape[1]
