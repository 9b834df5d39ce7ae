"""Random profiles: within the budget, which they use up, and all over the space."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from evolve.errors import GenomeError
from evolve.genome import digest
from evolve.genomes.compression.budget import Budget, Cost
from evolve.genomes.compression.profile import CompressionProfile
from evolve.streams import Stream, rng_for
from operators.compression import Anew, random_profile
from tests.contracts.operator import OperatorContract, record_of
from tests.operators.compression.children import family, kinds, seeds
from tests.operators.compression.spaces import BITS, budgets, descending, space

DEPTH = Budget(space(), removed=(1, 2))


class TestAnew(OperatorContract[CompressionProfile]):
    def operator(self) -> Anew:
        return Anew(DEPTH)

    def parents(self, seed: int):  # type: ignore[no-untyped-def]
        return [record_of(random_profile(space(), DEPTH, rng_for(seed, 0, Stream.ASK)))]


@settings(deadline=None, max_examples=40)
@given(seed=seeds, kind=kinds)
def test_no_step_up_could_be_paid(seed: int, kind: int) -> None:
    budget = budgets()[kind]
    (profile,), _ = family(Anew(budget), budget, seed)
    if budget.cost is None:
        return
    slack = budget.limit - budget.cost.of(profile)
    for u, level in enumerate(profile.levels.tolist()):
        unit, costs = profile.space.units[u], budget.cost.units[u]
        if profile.keeps(unit.block, unit.part) and level + 1 < len(costs):
            assert costs[level + 1] - costs[level] > slack


def test_every_removal_is_drawn() -> None:
    rng = rng_for(0, 0, Stream.ASK)
    assert len({digest(random_profile(space(), DEPTH, rng)) for _ in range(400)}) == 4 * 6


def test_whole_blocks_are_removed_as_one() -> None:
    rng = rng_for(0, 0, Stream.ASK)
    two = Budget(space(), removed=(2, 2))
    seen = set()
    for _ in range(60):
        profile = random_profile(space(), two, rng, whole=True)
        assert np.array_equal(profile.attention, profile.mlp)
        seen.add(digest(profile))
    assert len(seen) == 6
    for budget in (two, *budgets()):
        if budget.space.depth and budget.removed in (None, (2, 2)):
            drawn = Anew(budget, whole=True).vary([], rng)
            assert budget.keeps(drawn)
            assert np.array_equal(drawn.attention, drawn.mlp)
    with pytest.raises(GenomeError, match=r"whole=True and Budget.removed \(1, 2\)"):
        random_profile(space(), DEPTH, rng, whole=True)


def test_the_only_profile_of_a_latency_that_descends_is_found() -> None:
    budget = descending()
    tight = Budget(budget.space, budget.cost, 7 * len(budget.space.units))
    found = random_profile(tight.space, tight, rng_for(0, 0, Stream.ASK))
    assert (found.levels == 3).all()


def test_a_budget_that_random_masks_miss_is_an_error() -> None:
    tight = space(BITS)
    cost = Cost("one", "", 0, (1, 1, 1, 1), ((0,) * 4,) * len(tight.units), False)
    with pytest.raises(GenomeError, match="random profile"):
        random_profile(tight, _Stubborn(tight, cost, 1), rng_for(0, 0, Stream.ASK))


class _Stubborn(Budget):
    """Nothing keeps it."""

    def keeps(self, profile: CompressionProfile) -> bool:
        return bool(np.isnan(self.limit))
