"""Random profiles within a budget, and as an operator. Knows no score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evolve.errors import GenomeError
from evolve.genomes.compression.budget import Budget
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import ProfileSpace
from evolve.score import Needs, Record
from operators.compression.draft import settled

TRIES = 64


def random_profile(
    space: ProfileSpace, budget: Budget, rng: np.random.Generator, *, whole: bool = False
) -> CompressionProfile:
    """Random levels and removals that keep `budget` and use it up.

    Levels are uniform before they step down, or up, to the limit. Removals: as many as the
    budget says; if it leaves that free, up to half of each kind where there are levels to
    choose, then as many more as the limit takes. whole: blocks are removed as one. Raises
    `GenomeError` if none is found.
    """
    if whole and budget.removed is not None and len(set(budget.removed)) > 1:
        raise GenomeError(
            f"random_profile was given whole=True and Budget.removed {budget.removed}; whole "
            "blocks need as many attentions as MLPs, say (2, 2)."
        )
    n = space.n_blocks
    for _ in range(TRIES):
        masks = [np.ones(n, bool) for _ in range(1 if whole else 2)]  # attention's, MLP's
        if space.depth:
            some = 0 if space.grid is None else n // 2
            counts = budget.removed or rng.integers(some + 1, size=2).tolist()
            for mask, k in zip(masks, counts):
                mask[rng.choice(n, min(k, n - 1), replace=False)] = False
        levels = np.array([rng.integers(len(unit.levels)) for unit in space.units], np.int64)
        while (found := settled(budget, levels, masks[0], masks[-1], rng)) is None:
            able = [mask for mask in masks if mask.sum() > 1]
            if budget.removed is not None or not space.depth or not able:
                break
            mask = able[int(rng.integers(len(able)))]
            mask[rng.choice(np.flatnonzero(mask))] = False
        if found is not None:
            return found
    raise GenomeError(f"No random profile keeps the budget in {TRIES} tries; raise its limit.")


@dataclass(frozen=True)
class Anew:
    """A random profile, whatever the parent: what a search needs to leave a local optimum.

    whole: blocks are removed as one.
    """

    budget: Budget
    whole: bool = False
    name: str = "anew"
    arity: int = 1
    needs: Needs | None = None

    def vary(
        self, parents: Sequence[Record[CompressionProfile]], rng: np.random.Generator
    ) -> CompressionProfile:
        """Raises `GenomeError` as `random_profile` does."""
        return random_profile(self.budget.space, self.budget, rng, whole=self.whole)
