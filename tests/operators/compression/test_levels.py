"""Level switches: the budget exactly, never the same unit twice, EvoPress's numbers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings

from evolve.errors import ExperimentError, Infertile
from evolve.genomes.compression.budget import Budget, file_bytes, kept_weights, weight_bits
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import ZeroGrid
from evolve.streams import Stream, rng_for
from operators.compression import BudgetSwitch, LevelSwitch, random_profile
from operators.compression.levels import n_switches
from tests.operators.compression.children import family, kinds, seeds
from tests.operators.compression.spaces import (
    BITS,
    ZEROS,
    budgets,
    descending,
    parent,
    same,
    space,
)

STILL = space(BITS, depth=False)
BYTES = Budget(
    STILL, file_bytes(STILL), file_bytes(STILL).of(CompressionProfile.uniform(STILL, bits=3))
)


def gridded(kind: int) -> Budget:
    found = [budget for budget in budgets() if budget.space.grid is not None]
    return found[kind % len(found)]


@settings(deadline=None, max_examples=40)
@given(seed=seeds, kind=kinds)
def test_a_level_switch_costs_nothing(seed: int, kind: int) -> None:
    budget = gridded(kind)
    (before,), after = family(LevelSwitch(budget), budget, seed)
    if after is None:
        return
    assert not same(before, after)
    assert np.array_equal(before.attention, after.attention)
    moved = after.levels.astype(int) - before.levels
    assert moved.sum() == 0 or not isinstance(budget.space.grid, ZeroGrid)
    assert 1 <= -moved[moved < 0].sum() <= 3
    assert moved[moved > 0].sum() == -moved[moved < 0].sum()
    natural = kept_weights if isinstance(budget.space.grid, ZeroGrid) else weight_bits
    if budget.cost is not None and budget.cost.name != "latency":
        for cost in (natural(budget.space), budget.cost):
            assert cost.of(before) == cost.of(after)


@settings(deadline=None, max_examples=40)
@given(seed=seeds, kind=kinds)
def test_a_budget_switch_uses_the_budget(seed: int, kind: int) -> None:
    budget = gridded(kind)
    assert budget.cost is not None
    (before,), after = family(BudgetSwitch(budget), budget, seed)
    if after is None:
        return
    assert not same(before, after)
    slack = budget.limit - budget.cost.of(after)
    kept = after.space.spread(after.attention, after.mlp)
    for u in np.flatnonzero(kept & (after.levels >= before.levels)).tolist():
        costs, level = budget.cost.units[u], int(after.levels[u])
        assert level + 1 == len(costs) or costs[level + 1] - costs[level] > slack


def test_a_budget_switch_trades_across_sizes() -> None:
    profile = CompressionProfile.uniform(STILL, bits=3)
    sizes = [unit.size for unit in STILL.units]
    rng = rng_for(0, 0, Stream.ASK)
    crossed = 0
    for _ in range(50):
        moved = BudgetSwitch(BYTES).vary([parent(profile)], rng).levels.astype(int) - 1
        crossed += {sizes[u] for u in np.flatnonzero(moved)} != set() and any(
            moved[np.array(sizes) == size].sum() for size in set(sizes)
        )
    assert crossed > 10


def test_a_level_switch_stays_in_its_class() -> None:
    profile = CompressionProfile.uniform(STILL, bits=3)
    sizes = np.array([unit.size for unit in STILL.units])
    rng = rng_for(0, 0, Stream.ASK)
    seen: set[int] = set()
    for _ in range(200):
        moved = LevelSwitch(BYTES).vary([parent(profile)], rng).levels.astype(int) - 1
        assert all(moved[sizes == size].sum() == 0 for size in set(sizes.tolist()))
        seen |= set(np.flatnonzero(moved).tolist())
    assert seen == set(range(len(STILL.units)))


def test_a_level_switch_takes_any_two_units_of_a_zero_grid() -> None:
    zeros = space(ZEROS, depth=False)
    cost = kept_weights(zeros)
    profile = CompressionProfile.uniform(zeros)
    sizes = np.array([unit.size for unit in zeros.units])
    rng = rng_for(0, 0, Stream.ASK)
    budget = Budget(zeros, cost, cost.of(profile))
    pairs = set()
    for _ in range(300):
        moved = LevelSwitch(budget).vary([parent(profile)], rng).levels - profile.levels
        if np.abs(moved).sum() == 2:
            pairs.add((sizes[moved < 0][0], sizes[moved > 0][0]))
    assert len(pairs) == len(set(sizes.tolist())) ** 2


def test_the_number_of_switches_is_evopress_s() -> None:
    rng = rng_for(0, 0, Stream.ASK)
    counts = Counter(n_switches(rng) for _ in range(9000))
    assert [round(counts[n] / 1000) for n in (1, 2, 3)] == [5, 3, 1]


def test_nothing_to_trade_is_infertile() -> None:
    lowest = CompressionProfile.at(STILL, np.zeros(len(STILL.units)))
    budget = Budget(STILL, file_bytes(STILL), file_bytes(STILL).of(lowest))
    for operator in (LevelSwitch(budget), BudgetSwitch(budget)):
        with pytest.raises(Infertile, match="switch"):
            operator.vary([parent(lowest)], rng_for(0, 0, Stream.ASK))


def test_unspent_budget_is_spent() -> None:
    lowest = CompressionProfile.at(STILL, np.zeros(len(STILL.units)))
    child = BudgetSwitch(BYTES).vary([parent(lowest)], rng_for(0, 0, Stream.ASK))
    assert file_bytes(STILL).of(lowest) < file_bytes(STILL).of(child) <= BYTES.limit


def test_a_latency_that_descends_with_the_level_is_traded() -> None:
    budget = descending()
    assert budget.cost is not None
    n = len(budget.space.units)
    first = CompressionProfile.at(budget.space, np.full(n, 2))
    assert budget.cost.of(first) == budget.limit
    rng = rng_for(0, 0, Stream.ASK)
    for _ in range(20):
        child = BudgetSwitch(budget).vary([parent(first)], rng)
        assert not same(first, child)
        assert budget.cost.of(child) <= budget.limit
        # what did not go down went up for nothing
        assert set(child.levels[child.levels >= 2].tolist()) == {3}
        switched = LevelSwitch(budget).vary([parent(first)], rng)
        assert budget.cost.of(switched) == budget.limit
    quickest = CompressionProfile.dense(budget.space)
    tight = Budget(budget.space, budget.cost, 7 * n)
    with pytest.raises(Infertile, match="no trade"):
        BudgetSwitch(tight).vary([parent(quickest)], rng)


def test_what_does_not_fit_is_an_error() -> None:
    depth = Budget(space(), removed=(1, 1))
    with pytest.raises(ExperimentError, match="grid"):
        LevelSwitch(depth)
    with pytest.raises(ExperimentError, match="grid"):
        BudgetSwitch(depth)
    with pytest.raises(ExperimentError, match="cost"):
        BudgetSwitch(Budget(space(BITS), removed=(1, 1)))


def test_same_generator_same_child() -> None:
    first = random_profile(STILL, BYTES, rng_for(0, 0, Stream.ASK))
    for operator in (LevelSwitch(BYTES), BudgetSwitch(BYTES)):
        pair = [operator.vary([parent(first)], rng_for(3, 1, Stream.ASK)) for _ in range(2)]
        assert same(*pair)


def test_a_parent_outside_the_budget_has_no_child_outside_it() -> None:
    """Trades of equal cost would leave it where it is."""
    profile = CompressionProfile.uniform(STILL, bits=3)
    tight = Budget(STILL, file_bytes(STILL), BYTES.limit - 1)
    for birth in range(5):
        with pytest.raises(Infertile, match="no trade"):
            LevelSwitch(tight).vary([parent(profile)], rng_for(0, birth, Stream.ASK))
        child = BudgetSwitch(tight).vary([parent(profile)], rng_for(0, birth, Stream.ASK))
        assert tight.keeps(child)
    bits = space(BITS)
    removed = Budget(bits, file_bytes(bits), BYTES.limit, removed=(1, 2))
    whole = CompressionProfile.uniform(bits, bits=3)
    with pytest.raises(Infertile, match="no trade"):
        BudgetSwitch(removed).vary([parent(whole)], rng_for(0, 0, Stream.ASK))
