"""A draft's steps cost what it says, and settling is within the budget."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from evolve.genomes.compression.budget import Budget, file_bytes
from evolve.genomes.compression.profile import CompressionProfile
from evolve.streams import Stream, rng_for
from operators.compression import random_profile
from operators.compression.draft import NONE, Draft, settled
from tests.operators.compression.children import kinds, seeds
from tests.operators.compression.spaces import BITS, budgets, descending, space


@settings(deadline=None, max_examples=40)
@given(seed=seeds, kind=kinds)
def test_steps_cost_what_is_said(seed: int, kind: int) -> None:
    budget, rng = budgets()[kind], rng_for(seed, 0, Stream.ASK)
    draft = Draft(budget, random_profile(budget.space, budget, rng))
    for _ in range(10):
        able = [
            (u, by)
            for by, s in ((1, draft.ups), (-1, draft.downs))
            for u in np.nonzero(s != NONE)[0]
        ]
        if not able:
            return
        unit, by = able[int(rng.integers(len(able)))]
        freeable = draft.freeable
        draft.step_(int(unit), by)
        if budget.cost is not None:
            assert draft.slack == budget.limit - budget.cost.of(draft.profile())
            assert (freeable - draft.freeable)[np.arange(len(freeable)) != unit].sum() == 0


def test_settling_says_when_the_masks_cannot() -> None:
    bits = space(BITS)
    cost = file_bytes(bits)
    low, _ = Budget(bits, cost, cost.fixed * 9).reach(cost)
    budget = Budget(bits, cost, low)
    kept = np.ones(bits.n_blocks, bool)
    levels = np.full(len(bits.units), 2)
    rng = rng_for(0, 0, Stream.ASK)
    assert settled(budget, levels, kept, kept, rng) is None
    few = np.arange(bits.n_blocks) < 1
    found = settled(budget, levels, few, few, rng)
    assert found is not None
    assert cost.of(found) <= low
    assert not found.levels.any()


def test_a_step_up_that_saves_a_nanosecond_is_a_step() -> None:
    budget = descending()
    n = len(budget.space.units)
    draft = Draft(budget, CompressionProfile.at(budget.space, np.zeros(n)))
    assert (draft.ups == -1).all()
    assert (draft.downs == NONE).all()
    assert draft.slack == -2 * n
    draft.step_(0, 1)
    assert draft.slack == 1 - 2 * n
    assert (draft.downs[0], draft.freeable[0]) == (-1, 0)


def test_settling_goes_up_where_only_that_frees_something() -> None:
    budget = descending()
    assert budget.cost is not None
    kept, levels = np.ones(budget.space.n_blocks, bool), np.zeros(len(budget.space.units))
    found = settled(budget, levels, kept, kept, rng_for(0, 0, Stream.ASK))
    assert found is not None
    assert budget.cost.of(found) == 7 * len(levels)  # free steps up are taken


def test_no_unit_goes_both_ways() -> None:
    bits = space(BITS, depth=False)
    profile = CompressionProfile.uniform(bits, bits=3)
    cost = file_bytes(bits)
    for seed in range(5):
        rng = rng_for(seed, 0, Stream.ASK)
        draft = Draft(Budget(bits, cost, cost.of(profile)), profile)
        draft.step_(seed, -1)
        draft.step_(seed + 5, -1)
        draft.fill_(rng)
        assert draft.moved[[seed, seed + 5]].tolist() == [-1, -1]
        assert draft.moved.sum() > -2
        draft = Draft(Budget(bits, cost, cost.of(profile)), profile)
        draft.step_(seed, 1)
        assert not draft.lower_(10**9, rng)
        assert draft.moved[seed] == 1
        assert (np.delete(draft.levels, seed) == 0).all()
