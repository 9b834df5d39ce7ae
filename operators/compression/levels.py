"""Mutations of levels: some units go down, others go up, and the budget is kept.

`LevelSwitch` is EvoPress's (Sieberling et al. 2024, arXiv 2410.14649): pairs of steps of equal
size. Two of its flaws are mended: a unit never goes down and up in one child, so that no switch
is lost and every child differs from its parent. `BudgetSwitch` also trades between units whose
steps differ. Neither removes or restores a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evolve.errors import ExperimentError, Infertile
from evolve.genomes.compression.budget import Budget, kept_weights, weight_bits
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ZeroGrid
from evolve.score import Needs, Record
from operators.compression.draft import NONE, Draft

MOST = 3  # switches of a child, drawn twice; the smaller counts


def n_switches(rng: np.random.Generator) -> int:
    """1, 2 or 3 with probability 5/9, 3/9, 1/9: the smaller of two uniform draws."""
    return int(rng.integers(1, MOST + 1, size=2).min())


@dataclass(frozen=True)
class LevelSwitch:
    """One to three switches: one unit down a level, another of its class up, at equal cost.

    A class: the units whose levels all cost the same, in a `ZeroGrid` all units, as its steps
    are equal. It is drawn in proportion to its number of units.
    """

    budget: Budget
    name: str = "level switch"
    arity: int = 1
    needs: Needs | None = None

    def __post_init__(self) -> None:
        _check_grid(self.budget, self.name)

    def vary(
        self, parents: Sequence[Record[CompressionProfile]], rng: np.random.Generator
    ) -> CompressionProfile:
        """Raises `Infertile` if no two units of a class can trade."""
        draft = Draft(self.budget, parents[0].genome)
        for _ in range(n_switches(rng)):
            if not self._switch_(draft, rng):
                break
        return _child(draft, self.name)

    def _switch_(self, draft: Draft, rng: np.random.Generator) -> bool:
        sizes = np.array([len(units) for units in self._classes])
        order = rng.choice(len(sizes), len(sizes), replace=False, p=sizes / sizes.sum())
        for units in (self._classes[i] for i in order):
            for down in rng.permutation(units[_downs(draft)[units]]).tolist():
                level = draft.levels[down]
                freed = self._steps[down][level - 1]
                able = [
                    up
                    for up in units[_ups(draft)[units]].tolist()
                    if up != down and self._steps[up][draft.levels[up]] == freed
                ]
                if able:
                    draft.step_(down, -1)
                    draft.step_(int(rng.choice(able)), 1)
                    return True
        return False

    @cached_property
    def _steps(self) -> list[list[int]]:
        """[unit][level]: what the step to the next level costs."""
        return [np.diff(costs).tolist() for costs in self._costs]

    @cached_property
    def _costs(self) -> tuple[tuple[int, ...], ...]:
        space = self.budget.space
        if isinstance(space.grid, ZeroGrid):
            return kept_weights(space).units
        return (self.budget.cost or weight_bits(space)).units

    @cached_property
    def _classes(self) -> list[np.ndarray]:
        if isinstance(self.budget.space.grid, ZeroGrid):
            return [np.arange(len(self._costs))]
        classes: dict[tuple[int, ...], list[int]] = {}
        for unit, costs in enumerate(self._costs):
            classes.setdefault(costs, []).append(unit)
        return [np.array(units) for units in classes.values()]


@dataclass(frozen=True)
class BudgetSwitch:
    """One to three trades under a limited cost, whatever the steps cost.

    A unit goes down, others follow it until a step up of yet another can be paid. What is left
    over is spent on random steps up.
    """

    budget: Budget
    name: str = "budget switch"
    arity: int = 1
    needs: Needs | None = None

    def __post_init__(self) -> None:
        _check_grid(self.budget, self.name)
        if self.budget.cost is None:
            raise ExperimentError(f"{self.name} needs a Budget with a cost and its limit.")

    def vary(
        self, parents: Sequence[Record[CompressionProfile]], rng: np.random.Generator
    ) -> CompressionProfile:
        """Raises `Infertile` if nothing can move."""
        draft = Draft(self.budget, parents[0].genome)
        for _ in range(n_switches(rng)):
            _trade_(draft, rng)
        draft.fill_(rng)
        return _child(draft, self.name)


def _trade_(draft: Draft, rng: np.random.Generator) -> None:
    """One unit up, one or more down; nothing if that cannot be paid."""
    able = _downs(draft)
    if not able.any():
        return
    down = int(rng.choice(np.flatnonzero(able)))
    freeable = np.where(able, draft.freeable, 0)
    ups = _ups(draft) & (draft.ups <= draft.slack + freeable.sum() - freeable)
    ups[down] = False
    if not ups.any():
        return
    draft.step_(int(rng.choice(np.flatnonzero(ups))), 1)  # first: it is not among those that pay
    draft.step_(down, -1)
    draft.lower_(0, rng)


def _ups(draft: Draft) -> np.ndarray:
    able: np.ndarray = (draft.ups != NONE) & (draft.moved >= 0)
    return able


def _downs(draft: Draft) -> np.ndarray:
    able: np.ndarray = (draft.downs != NONE) & (draft.moved <= 0)
    return able


def _child(draft: Draft, name: str) -> CompressionProfile:
    child = draft.profile()
    if not draft.moved.any() or not draft.budget.keeps(child):
        raise Infertile(f"{name} finds no trade between this profile's levels within the budget.")
    return child


def _check_grid(budget: Budget, name: str) -> None:
    if not isinstance(budget.space.grid, BitGrid | ZeroGrid):
        raise ExperimentError(f"{name} needs a space with a grid of levels; pass grid=.")
