"""The start of the joint search: measured depths, filled by the knapsack, under the budget."""

from __future__ import annotations

import numpy as np
import pytest

from evolve.errors import GenomeError
from evolve.genome import digest
from evolve.genomes.compression.budget import Budget
from evolve.genomes.compression.profile import CompressionProfile
from evolve.score import Record, Score
from experiments.compress_stories import study
from experiments.joint import block_sets, joint_start
from experiments.profiles import Mode, Study
from operators.compression.solver import Losses

ALONE = (0.9, 0.1, 0.2, 0.3, 0.8, 0.7)  # what each block loses, half in either part


@pytest.fixture(scope="module")
def stories() -> Study:
    return study(Mode.JOINT)


@pytest.fixture(scope="module")
def table(stories: Study) -> Losses:
    """Fewer bits lose more, evenly."""
    levels = tuple(tuple(0.01 * (2 - level) for level in range(5)) for _ in stories.space.units)
    half = tuple(each / 2 for each in ALONE)
    return Losses(stories.uniform, levels, half, half)


def told(genome: CompressionProfile, value: float) -> Record[CompressionProfile]:
    return Record(0, genome, digest(genome), Score((value,)))


def gone(profile: CompressionProfile) -> list[int]:
    assert np.array_equal(profile.attention, profile.mlp)
    return np.flatnonzero(~profile.attention).tolist()


def test_two_sets_of_whole_blocks_for_each_number(stories: Study, table: Losses) -> None:
    sets = block_sets(table)
    assert [gone(each) for each in sets] == [[1], [2], [1, 2], [1, 3]]
    for each in sets:
        kept = stories.space.spread(each.attention, each.mlp) > 0
        assert np.array_equal(each.levels[kept], stories.uniform.levels[kept])


def test_the_measured_depth_decides_and_the_budget_is_kept(stories: Study, table: Losses) -> None:
    sets = block_sets(table)
    base = [told(stories.uniform, 0.5)]
    # Alone block 1 loses least; measured, the second set of one block is the best, then of two.
    for values, best in (([0.9, 0.6, 3.0, 3.0], [2]), ([9.0, 9.0, 9.0, 0.55], [1, 3])):
        tried = [told(genome, value) for genome, value in zip(sets, values)]
        start = joint_start(table, stories.budget, base, tried)
        assert gone(start) == best
        assert stories.budget.keeps(start)
        assert start.levels[start.space.spread(start.attention, start.mlp) > 0].mean() > 0.5
    # All depths far worse than fewer bits: nothing is removed.
    start = joint_start(table, stories.budget, base, [told(each, 9.0) for each in sets])
    assert gone(start) == []
    assert stories.budget.keeps(start)
    # One that failed is not taken.
    failed = Record(0, sets[0], digest(sets[0]), Score.failed("invalid: nan"))
    assert gone(joint_start(table, stories.budget, base, [failed, told(sets[1], 0.51)])) == [2]


def test_no_room_says_so(stories: Study, table: Losses) -> None:
    cost = stories.budget.cost
    assert cost is not None
    least = Budget(stories.space, cost, Budget(stories.space, cost, 10**12).reach(cost)[0])
    with pytest.raises(GenomeError, match="No depth of 1 leaves room"):
        joint_start(table, least, [], [])
