"""Part switches and joint moves: the budget, the numbers removed, the kinds of move."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings

from evolve.errors import ExperimentError, Infertile
from evolve.genomes.compression.budget import Budget, file_bytes, kept_weights, weight_bits
from evolve.genomes.compression.profile import CompressionProfile
from evolve.streams import Stream, rng_for
from operators.compression import Joint, PartStep, PartSwitch, random_profile
from tests.contracts.operator import OperatorContract, record_of
from tests.operators.compression.children import family, kinds, seeds
from tests.operators.compression.spaces import BITS, ZEROS, budgets, parent, same, space

DEPTH = Budget(space(), removed=(1, 2))


class TestPartSwitch(OperatorContract[CompressionProfile]):
    def operator(self) -> PartSwitch:
        return PartSwitch(DEPTH)

    def parents(self, seed: int):  # type: ignore[no-untyped-def]
        return [record_of(random_profile(space(), DEPTH, rng_for(seed, 0, Stream.ASK)))]


class TestPartSwitchOfWholeBlocks(OperatorContract[CompressionProfile]):
    budget = Budget(space(), removed=(2, 2))

    def operator(self) -> PartSwitch:
        return PartSwitch(self.budget, whole=True)

    def parents(self, seed: int):  # type: ignore[no-untyped-def]
        rng = rng_for(seed, 0, Stream.ASK)
        return [record_of(random_profile(space(), self.budget, rng, whole=True))]


class TestJointWithoutLevels(OperatorContract[CompressionProfile]):
    budget = next(b for b in budgets() if b.space.grid is None and b.cost is not None)

    def operator(self) -> Joint:
        return Joint(self.budget)

    def parents(self, seed: int):  # type: ignore[no-untyped-def]
        return [record_of(random_profile(space(), self.budget, rng_for(seed, 0, Stream.ASK)))]


class TestPartStep(OperatorContract[CompressionProfile]):
    def operator(self) -> PartStep:
        return PartStep()

    def parents(self, seed: int):  # type: ignore[no-untyped-def]
        return [record_of(random_profile(space(), DEPTH, rng_for(seed, 0, Stream.ASK)))]


def gone(profile: CompressionProfile) -> tuple[int, int]:
    return int((~profile.attention).sum()), int((~profile.mlp).sum())


@settings(deadline=None, max_examples=40)
@given(seed=seeds, kind=kinds)
def test_a_part_switch_keeps_the_numbers(seed: int, kind: int) -> None:
    budget = budgets()[kind]
    if not budget.space.depth:
        with pytest.raises(ExperimentError, match="depth"):
            PartSwitch(budget)
        return
    (before,), after = family(PartSwitch(budget), budget, seed)
    if after is None:
        return
    assert not same(before, after)
    assert gone(before) == gone(after)
    flips = [int((a != b).sum()) for a, b in zip(masks(before), masks(after))]
    assert 2 <= sum(flips) <= 6


@settings(deadline=None, max_examples=40)
@given(seed=seeds, kind=kinds)
def test_a_joint_move_keeps_the_budget(seed: int, kind: int) -> None:
    budget = budgets()[kind]
    if not budget.space.depth or budget.cost is None:
        return
    (before,), after = family(Joint(budget), budget, seed)
    if after is None:
        return
    assert not same(before, after)
    assert after.attention.any()
    assert after.mlp.any()
    if budget.removed is not None or not budget.cost.in_bytes:
        assert gone(after) == gone(before)


def masks(profile: CompressionProfile) -> tuple[np.ndarray, np.ndarray]:
    return profile.attention, profile.mlp


def test_attention_and_mlp_are_switched_as_often() -> None:
    rng = rng_for(0, 0, Stream.ASK)
    first = random_profile(space(), DEPTH, rng)
    flips = Counter[str]()
    for _ in range(600):
        child = PartSwitch(DEPTH).vary([parent(first)], rng)
        a, m = ((x != y).any() for x, y in zip(masks(first), masks(child)))
        flips["attention"] += a
        flips["mlp"] += m
    assert 0.85 < flips["attention"] / flips["mlp"] < 1.15


def test_what_comes_in_has_the_levels_of_what_goes_out() -> None:
    bits = space(BITS)
    cost = file_bytes(bits)
    budget = Budget(bits, cost, cost.of(CompressionProfile.dense(bits)), removed=(1, 0))
    levels = np.full(len(bits.units), 3)
    keep = np.array([False, True, True, True])
    first = CompressionProfile.at(bits, levels, keep)
    child = PartSwitch(budget).vary([parent(first)], rng_for(1, 0, Stream.ASK))
    kept = bits.spread(child.attention, child.mlp)
    assert (child.levels[kept] == 3).all()


def test_joint_makes_every_kind_of_move() -> None:
    bits = space(BITS)
    cost = file_bytes(bits)
    budget = Budget(bits, cost, cost.of(CompressionProfile.uniform(bits, bits=3)))
    rng = rng_for(0, 0, Stream.ASK)
    keep = np.array([False, True, True, True])
    first = CompressionProfile.at(bits, np.full(len(bits.units), 1), keep, keep[::-1])
    seen = set()
    for _ in range(300):
        child = Joint(budget).vary([parent(first)], rng)
        seen.add((gone(child), same_masks(first, child)))
    # levels only or one kind; two kinds, both ways; out, alone and whole; in
    wanted = {(1, 1), (2, 0), (0, 2), (2, 1), (1, 2), (2, 2), (0, 1), (1, 0)}
    assert wanted <= {g for g, _ in seen}
    assert {s for g, s in seen if g == (1, 1)} == {True, False}


def same_masks(one: CompressionProfile, other: CompressionProfile) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(masks(one), masks(other)))


def test_fixed_numbers_stay_fixed_in_joint_moves() -> None:
    bits = space(BITS)
    cost = file_bytes(bits)
    budget = Budget(bits, cost, cost.of(CompressionProfile.uniform(bits, bits=3)), removed=(1, 1))
    rng = rng_for(0, 0, Stream.ASK)
    profile = random_profile(bits, budget, rng)
    for _ in range(100):
        profile = Joint(budget).vary([parent(profile)], rng)
        assert gone(profile) == (1, 1)


def test_only_bytes_let_attention_be_traded_for_mlp() -> None:
    for grid, of in ((BITS, weight_bits), (ZEROS, kept_weights)):
        cost = of(space(grid))
        keep = np.array([False, True, True, True])
        first = CompressionProfile.at(space(grid), np.ones(len(cost.units)), keep, ~keep | keep)
        budget = Budget(space(grid), cost, cost.of(first))
        rng = rng_for(0, 0, Stream.ASK)
        for _ in range(60):
            child = Joint(budget).vary([parent(first)], rng)
            assert gone(child) == (1, 0)
            assert budget.keeps(child)


def test_whole_blocks_go_and_come_as_one() -> None:
    bits = space(BITS)
    cost = file_bytes(bits)
    low, high = Budget(bits, cost, 10**9, removed=(2, 2)).reach(cost)
    rng = rng_for(0, 0, Stream.ASK)
    for removed in ((2, 2), None):
        budget = Budget(bits, cost, (low + high) // 2, removed)
        keep = np.array([False, True, True, False])
        profile = CompressionProfile.at(bits, np.zeros(len(bits.units)), keep, keep)
        for _ in range(40):
            child = PartSwitch(budget, whole=True).vary([parent(profile)], rng)
            assert np.array_equal(child.attention, child.mlp)
            assert not np.array_equal(child.attention, profile.attention)
            assert gone(child) == (2, 2)
            assert budget.keeps(child)
            profile = child


def test_half_a_block_is_no_whole_block() -> None:
    keep = np.array([False, True, True, False])
    half = CompressionProfile.at(space(), np.zeros(len(space().units)), keep, keep[[0, 1, 3, 2]])
    switch = PartSwitch(Budget(space(), removed=(2, 2)), whole=True)
    with pytest.raises(Infertile, match=r"one part of block 2, 3 removed .* whole=True"):
        switch.vary([parent(half)], rng_for(0, 0, Stream.ASK))
    with pytest.raises(ExperimentError, match=r"whole=True and Budget.removed \(1, 2\)"):
        PartSwitch(DEPTH, whole=True)


def test_nothing_removed_is_infertile() -> None:
    budget = Budget(space(), removed=(0, 0))
    with pytest.raises(Infertile, match="removed part"):
        PartSwitch(budget).vary(
            [parent(CompressionProfile.dense(space()))], rng_for(0, 0, Stream.ASK)
        )


def test_joint_needs_a_cost() -> None:
    with pytest.raises(ExperimentError, match=r"cost .*PartSwitch\(budget, whole=True\)"):
        Joint(DEPTH)


def test_one_that_is_left_can_be_switched() -> None:
    budget = Budget(space(), removed=(3, 3))
    first = random_profile(space(), budget, rng_for(0, 0, Stream.ASK))
    child = PartSwitch(budget).vary([parent(first)], rng_for(0, 1, Stream.ASK))
    assert gone(child) == (3, 3)


def test_whole_blocks_are_switched_where_only_they_save_bytes() -> None:
    budget = TestJointWithoutLevels.budget
    keep = np.array([True, False, True, True])
    first = CompressionProfile.at(space(), np.zeros(len(space().units)), keep, keep)
    assert budget.keeps(first)
    assert not budget.keeps(CompressionProfile.at(space(), first.levels, keep))
    child = Joint(budget).vary([parent(first)], rng_for(0, 0, Stream.ASK))
    assert not same(first, child)


def test_a_step_takes_or_returns_a_part_or_a_block_whatever_it_costs() -> None:
    rng, deep, moves = np.random.default_rng(0), space(BITS), set()
    parent = CompressionProfile.uniform(deep, bits=3)
    for _ in range(300):
        child = PartStep().vary([record_of(parent)], rng)
        changed = [child.attention != parent.attention, child.mlp != parent.mlp]
        assert (changed[0] | changed[1]).sum() == 1  # one block
        moves.add(tuple(np.subtract(gone(child), gone(parent)).tolist()))
        assert child.attention.any()
        assert child.mlp.any()
        assert (child.levels[deep.spread(child.attention, child.mlp)] == 1).all()
        parent = child
    assert moves == {(1, 0), (0, 1), (1, 1), (-1, 0), (0, -1), (-1, -1)}


def test_a_step_needs_a_space_with_depth() -> None:
    flat = CompressionProfile.dense(space(BITS, depth=False))
    with pytest.raises(Infertile, match="depth=True"):
        PartStep().vary([record_of(flat)], np.random.default_rng(0))
