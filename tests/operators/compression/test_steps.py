from __future__ import annotations

import numpy as np
import pytest

from evolve.errors import ExperimentError, Infertile
from evolve.genomes.compression.budget import file_bytes
from evolve.genomes.compression.profile import CompressionProfile
from evolve.score import Record, Score
from operators.compression import LevelMix, LevelStep
from tests.operators.compression.spaces import BITS, same, space


def record(profile: CompressionProfile) -> Record[CompressionProfile]:
    return Record(0, profile, "", Score((1.0,)))


def uniform(bits: int = 3) -> CompressionProfile:
    return CompressionProfile.uniform(space(BITS), bits=bits)


def test_a_child_differs_by_single_levels() -> None:
    rng, parent = np.random.default_rng(0), uniform()
    for _ in range(50):
        moved = LevelStep(0.2).vary([record(parent)], rng).levels.astype(int) - parent.levels
        assert set(moved.tolist()) <= {-1, 0, 1}
        assert np.abs(moved).sum() >= 1


def test_children_spread_along_the_cost() -> None:
    rng, parent, cost = np.random.default_rng(0), uniform(), file_bytes(space(BITS))
    found = [cost.of(LevelStep(0.5).vary([record(parent)], rng)) for _ in range(60)]
    assert min(found) < cost.of(parent) < max(found)


def test_ends_and_removed_parts_are_kept_to() -> None:
    rng = np.random.default_rng(0)
    top, bottom = CompressionProfile.dense(space(BITS)), uniform(2)
    assert (LevelStep(1.0).vary([record(top)], rng).levels < top.levels).all()
    assert (LevelStep(1.0).vary([record(bottom)], rng).levels == 1).all()
    gone = np.array([False, True, True, True])
    half = CompressionProfile.at(space(BITS), bottom.levels, gone, gone)
    child = LevelStep(1.0).vary([record(half)], rng)
    assert [unit.block for unit, level in zip(space(BITS).units, child.levels) if not level] == [
        unit.block for unit in space(BITS).units if unit.block == 0
    ]
    assert np.array_equal(child.attention, gone)


def test_without_levels_there_is_no_child() -> None:
    with pytest.raises(Infertile):
        LevelStep().vary([record(CompressionProfile.dense(space()))], np.random.default_rng(0))
    with pytest.raises(ExperimentError, match="rate=0"):
        LevelStep(0.0)


def test_a_mix_has_levels_of_both() -> None:
    one, other, rng = uniform(2), uniform(4), np.random.default_rng(0)
    child = LevelMix().vary([record(one), record(other)], rng)
    assert set(child.levels.tolist()) == {0, 2}
    assert same(LevelMix().vary([record(one), record(one)], rng), one)
