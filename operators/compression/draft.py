"""A profile while it is changed: what each step up or down costs, and what is left to spend.

Knows levels and a budget, no search. A draft belongs to the operator that made it.
"""

from __future__ import annotations

import numpy as np

from evolve.genomes.compression.budget import Budget
from evolve.genomes.compression.profile import CompressionProfile

NONE = int(np.iinfo(np.int64).min)  # in `ups` and `downs`: no such step; no step costs that


class Draft:
    """Levels that move one at a time, under masks that stay.

    The profile that it begins with need not keep the budget.

    ups, downs: (n_units,) int64, what the next step of each unit costs or frees under the
    budget's cost; `NONE` where the unit is removed or at its end, negative where a latency
    descends with the level. slack: what may be spent; negative where the budget is not kept.
    moved: (n_units,) int64, levels since the start.
    """

    def __init__(self, budget: Budget, profile: CompressionProfile) -> None:
        self.budget = budget
        self.attention, self.mlp = profile.attention, profile.mlp
        self.levels = profile.levels.astype(np.int64)
        self.moved = np.zeros(len(self.levels), np.int64)
        self.slack = 0 if budget.cost is None else budget.limit - budget.cost.of(profile)
        n = len(self.levels)
        self.ups, self.downs = np.full(n, NONE, np.int64), np.full(n, NONE, np.int64)
        kept = profile.space.spread(self.attention, self.mlp)
        for unit in np.flatnonzero(kept).tolist():
            self._measure_(unit)

    def step_(self, unit: int, by: int) -> None:
        """Move `unit` one level up (1) or down (-1)."""
        self.slack += int(self.downs[unit]) if by < 0 else -int(self.ups[unit])
        self.levels[unit] += by
        self.moved[unit] += by
        self._measure_(unit)

    def lower_(self, slack: int, rng: np.random.Generator) -> bool:
        """Random steps that free something until there is that much `slack`; whether there is.

        Steps down, or up where only that frees something. No unit goes both ways.
        """
        while self.slack < slack:
            down = (self.downs > 0) & (self.moved <= 0)
            up = (self.ups != NONE) & (self.ups < 0) & (self.moved >= 0)
            able = np.flatnonzero(down | up)
            if not len(able):
                return False
            unit = int(rng.choice(able))
            self.step_(unit, -1 if down[unit] else 1)
        return True

    def fill_(self, rng: np.random.Generator) -> None:
        """Random steps up for as long as one can be paid. Units that went down stay down."""
        if self.budget.cost is None:
            return
        while self.slack >= 0:
            able = np.flatnonzero(
                (self.ups != NONE) & (self.ups <= self.slack) & (self.moved >= 0)
            )
            if not len(able):
                return
            self.step_(int(rng.choice(able)), 1)

    @property
    def freeable(self) -> np.ndarray:
        """(n_units,) int64: what each unit would free at its cheapest level from here down."""
        cost = self.budget.cost
        costs = () if cost is None else cost.units
        found = [
            row[level] - min(row[: level + 1]) for row, level in zip(costs, self.levels.tolist())
        ]
        return np.array(found or [0] * len(self.levels), np.int64)

    def profile(self) -> CompressionProfile:
        """What the draft has become."""
        return CompressionProfile.at(self.budget.space, self.levels, self.attention, self.mlp)

    def _measure_(self, unit: int) -> None:
        level, top = int(self.levels[unit]), len(self.budget.space.units[unit].levels) - 1
        costs = (0,) * (top + 1) if self.budget.cost is None else self.budget.cost.units[unit]
        self.ups[unit] = costs[level + 1] - costs[level] if level < top else NONE
        self.downs[unit] = costs[level] - costs[level - 1] if level else NONE


def settled(
    budget: Budget,
    levels: np.ndarray,
    attention: np.ndarray,
    mlp: np.ndarray,
    rng: np.random.Generator,
) -> CompressionProfile | None:
    """The nearest profile at random that keeps and uses the budget; None if the masks cannot.

    Random steps that free something until the limit is kept, then up while one can be paid.
    """
    child = CompressionProfile.at(budget.space, levels, attention, mlp)
    if budget.cost is not None:
        draft = Draft(budget, child)
        if not draft.lower_(0, rng):
            return None
        draft.moved[:] = 0  # what went down may be what the rest pays for
        draft.fill_(rng)
        child = draft.profile()
    return child if budget.keeps(child) else None
