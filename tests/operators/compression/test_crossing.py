"""Crossover of profiles: the budget, and that nothing comes from nowhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from evolve.errors import ExperimentError, Infertile
from evolve.genomes.compression.budget import Budget
from evolve.genomes.compression.profile import CompressionProfile
from evolve.streams import Stream, rng_for
from operators.compression import ProfileCrossover, random_profile
from tests.contracts.operator import OperatorContract, record_of
from tests.operators.compression.children import family, kinds, seeds
from tests.operators.compression.spaces import BITS, budgets, parent, space

DEPTH = Budget(space(), removed=(1, 2))


class TestProfileCrossover(OperatorContract[CompressionProfile]):
    def operator(self) -> ProfileCrossover:
        return ProfileCrossover(DEPTH)

    def parents(self, seed: int):  # type: ignore[no-untyped-def]
        rng = rng_for(seed, 0, Stream.ASK)
        return [record_of(random_profile(space(), DEPTH, rng), i) for i in range(2)]


@settings(deadline=None, max_examples=40)
@given(seed=seeds, kind=kinds)
def test_what_the_parents_agree_on_stays(seed: int, kind: int) -> None:
    budget = budgets()[kind]
    for whole in (False, True):
        (one, other), child = family(ProfileCrossover(budget, whole), budget, seed)
        assert child is not None
        for name in ("attention", "mlp"):
            a, b, c = (vars(each)[name] for each in (one, other, child))
            assert (c[a == b] == a[a == b]).all()


def test_whole_blocks_are_one_parent_s() -> None:
    bits = space(BITS, depth=False)
    rng = rng_for(0, 0, Stream.ASK)
    budget = Budget(bits, removed=(0, 0))
    for _ in range(20):
        pair = [random_profile(bits, budget, rng) for _ in range(2)]
        child = ProfileCrossover(budget, whole=True).vary([parent(p) for p in pair], rng)
        for block in range(bits.n_blocks):
            units = [i for i, unit in enumerate(bits.units) if unit.block == block]
            assert any(np.array_equal(child.levels[units], p.levels[units]) for p in pair)


def test_what_cannot_be_crossed_is_said() -> None:
    rng = rng_for(0, 0, Stream.ASK)
    one = parent(CompressionProfile.dense(space()))
    with pytest.raises(ExperimentError, match="give 2"):
        ProfileCrossover(DEPTH).vary([one], rng)
    untied = parent(CompressionProfile.dense(space(BITS, tied=False)))
    with pytest.raises(Infertile, match="different spaces"):
        ProfileCrossover(DEPTH).vary([one, untied], rng)
