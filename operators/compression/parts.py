"""Mutations of what is removed: attentions and MLPs go out and come in, the budget is kept.

`PartSwitch` is EvoPress's depth mutation (Sieberling et al. 2024, arXiv 2410.14649); a part never
goes out and in again in one child. `Joint` moves parts and levels under one limited cost; only
bytes let it trade attention for MLP. `PartStep` keeps no budget: for fronts, where the cost is
an objective. A part that comes in has the levels of the one that went out, or of another
block's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from evolve.errors import ExperimentError, Infertile
from evolve.genomes.compression.anatomy import Part
from evolve.genomes.compression.budget import Budget
from evolve.genomes.compression.profile import CompressionProfile
from evolve.score import Needs, Record
from operators.compression.draft import settled
from operators.compression.levels import BudgetSwitch, n_switches

TRIES = 16  # moves drawn for one that the budget allows

Parts: TypeAlias = tuple[Part, ...]

ALONE: tuple[Parts, Parts] = ((Part.ATTENTION,), (Part.MLP,))
BOTH: Parts = (Part.ATTENTION, Part.MLP)  # a whole block
ANY: tuple[Parts, ...] = (*ALONE, BOTH)


class _Moves:
    """Masks and levels while parts move; `moved` holds those that shall not move again."""

    def __init__(self, profile: CompressionProfile) -> None:
        self.space = profile.space
        self.levels = profile.levels.copy()
        self.masks = {Part.ATTENTION: profile.attention.copy(), Part.MLP: profile.mlp.copy()}
        self.moved: dict[Part, set[int]] = {part: set() for part in Part}

    def blocks(self, parts: Parts, kept: bool) -> list[int]:
        """Blocks all of whose `parts` are kept (or all removed) and have not moved yet."""
        found = set(range(self.space.n_blocks))
        for part in parts:
            found &= set(np.flatnonzero(self.masks[part] == kept).tolist())
            found -= self.moved[part]
        return sorted(found)

    def able(self, away: Parts, back: Parts) -> bool:
        """Whether `away` can be removed and `back` restored; one of each kind always stays."""
        lost = [part for part in away if part not in back and self.masks[part].sum() < 2]
        return (
            not lost
            and (not away or bool(self.blocks(away, kept=True)))
            and (not back or bool(self.blocks(back, kept=False)))
        )

    def move_(self, away: Parts, back: Parts, rng: np.random.Generator) -> None:
        """Remove `away` from one block, restore `back` in another, each () for none.

        What comes back has the levels of what goes away, or of a kept part of its kind.
        """
        gone = int(rng.choice(self.blocks(away, kept=True))) if away else None
        come = int(rng.choice(self.blocks(back, kept=False))) if back else None
        for part in back:
            like = gone if part in away else int(rng.choice(np.flatnonzero(self.masks[part])))
            assert come is not None, "there is a block for what comes back"
            assert like is not None, "a part that goes away has a block"
            for to, level in zip(self._units(part, come), self.levels[self._units(part, like)]):
                self.levels[to] = min(int(level), len(self.space.units[to].levels) - 1)
        for block, parts, kept in ((gone, away, False), (come, back, True)):
            for part in parts:
                assert block is not None, "parts that move have a block"
                self.masks[part][block] = kept
                self.moved[part].add(block)

    def child(self, budget: Budget, rng: np.random.Generator) -> CompressionProfile | None:
        """The moved profile, settled to the budget; None if it cannot be."""
        attention, mlp = self.masks[Part.ATTENTION], self.masks[Part.MLP]
        still = not any(self.moved.values())
        return None if still else settled(budget, self.levels, attention, mlp, rng)

    def _units(self, part: Part, block: int) -> list[int]:
        units = self.space.units
        return [i for i, unit in enumerate(units) if (unit.part, unit.block) == (part, block)]


@dataclass(frozen=True)
class PartSwitch:
    """One to three switches: a removed part comes in, a kept one of the same kind goes out.

    Attention or MLP at even odds, where both can be switched. whole: blocks are switched as
    one; parents must have no block that keeps one part only.
    """

    budget: Budget
    whole: bool = False
    name: str = "part switch"
    arity: int = 1
    needs: Needs | None = None

    def __post_init__(self) -> None:
        _check_depth(self.budget, self.name)
        removed = self.budget.removed
        if self.whole and removed is not None and removed[0] != removed[1]:
            raise ExperimentError(
                f"{self.name} was given whole=True and Budget.removed {removed}; whole blocks "
                "need as many attentions as MLPs, say (2, 2), else leave whole=False."
            )

    def vary(
        self, parents: Sequence[Record[CompressionProfile]], rng: np.random.Generator
    ) -> CompressionProfile:
        """Raises `Infertile` if no switch keeps the budget, or for half a block if `whole`."""
        if self.whole:
            _check_whole(parents[0].genome, self.name)
        for _ in range(TRIES):
            moves = _Moves(parents[0].genome)
            for _ in range(n_switches(rng)):
                able = [
                    parts
                    for parts in ((BOTH,) if self.whole else ALONE)
                    if moves.able(parts, parts)
                ]
                if able:
                    parts = able[int(rng.integers(len(able)))]
                    moves.move_(parts, parts, rng)
            child = moves.child(self.budget, rng)
            if child is not None:
                return child
        raise Infertile(f"{self.name} finds no removed part to switch with within the budget.")


@dataclass(frozen=True)
class Joint:
    """Depth and levels together under a limited cost: half of the children trade levels only.

    The others make one to three moves: two parts of one kind, or two whole blocks, are switched.
    If the cost is bytes and leaves the numbers removed free, also two parts of two kinds, and a
    part or a block goes out or comes in; under any other cost the numbers stay the parent's.
    Levels then go down until the limit is kept, and up for what is left. Without a grid of
    levels, parts only.
    """

    budget: Budget
    name: str = "joint"
    arity: int = 1
    needs: Needs | None = None
    _levels: BudgetSwitch | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        _check_depth(self.budget, self.name)
        if self.budget.cost is None:
            raise ExperimentError(
                f"{self.name} was given a Budget of removals only; give one with a cost and its "
                "limit, or use PartSwitch(budget) for parts, PartSwitch(budget, whole=True) for "
                "whole blocks."
            )
        if self.budget.space.grid is not None:
            object.__setattr__(self, "_levels", BudgetSwitch(self.budget))

    def vary(
        self, parents: Sequence[Record[CompressionProfile]], rng: np.random.Generator
    ) -> CompressionProfile:
        """Raises `Infertile` if nothing can move within the budget."""
        if self._levels is not None and rng.random() < 0.5:
            return self._levels.vary(parents, rng)
        for _ in range(TRIES):
            moves = _Moves(parents[0].genome)
            for _ in range(n_switches(rng)):
                _move_(moves, self._free, rng)
            child = moves.child(self.budget, rng)
            if child is not None:
                return child
        if self._levels is not None:
            return self._levels.vary(parents, rng)
        raise Infertile(f"{self.name} finds no move of a part within the budget.")

    @property
    def _free(self) -> bool:
        """Whether the numbers removed may change."""
        cost = self.budget.cost
        return self.budget.removed is None and cost is not None and cost.in_bytes


@dataclass(frozen=True)
class PartStep:
    """An attention, an MLP or a whole block goes out or comes in; one of each kind stays."""

    name: str = "part step"
    arity: int = 1
    needs: Needs | None = None

    def vary(
        self, parents: Sequence[Record[CompressionProfile]], rng: np.random.Generator
    ) -> CompressionProfile:
        """Raises `Infertile` for a space without depth."""
        space = parents[0].genome.space
        if not space.depth:
            raise Infertile(f"{self.name} needs a space that was built with depth=True.")
        moves = _Moves(parents[0].genome)
        ways: list[tuple[Parts, Parts]] = [(parts, ()) for parts in ANY]
        ways += [((), parts) for parts in ANY]
        able = [way for way in ways if moves.able(*way)]
        if not able:
            raise Infertile(f"{self.name}: the model has one block, which stays.")
        moves.move_(*able[int(rng.integers(len(able)))], rng)
        masks = moves.masks
        return CompressionProfile.at(space, moves.levels, masks[Part.ATTENTION], masks[Part.MLP])


def _move_(moves: _Moves, free: bool, rng: np.random.Generator) -> None:
    """One move of parts, drawn evenly from the kinds of move that there are."""
    kinds: list[list[tuple[Parts, Parts]]] = [[(parts, parts) for parts in ANY]]
    if free:
        one, other = ALONE
        kinds += [
            [(one, other), (other, one)],
            [(parts, ()) for parts in ANY],
            [((), parts) for parts in ANY],
        ]
    kinds = [able for kind in kinds if (able := [each for each in kind if moves.able(*each)])]
    if kinds:
        kind = kinds[int(rng.integers(len(kinds)))]
        away, back = kind[int(rng.integers(len(kind)))]
        moves.move_(away, back, rng)


def _check_depth(budget: Budget, name: str) -> None:
    if not budget.space.depth:
        raise ExperimentError(f"{name} needs a space that was built with depth=True.")


def _check_whole(profile: CompressionProfile, name: str) -> None:
    half = np.flatnonzero(profile.attention != profile.mlp).tolist()
    if half:
        raise Infertile(
            f"{name} was given whole=True and a profile with one part of block "
            f"{', '.join(map(str, half))} removed and the other kept; give founders that remove "
            "whole blocks, as random_profile(..., whole=True) does."
        )
