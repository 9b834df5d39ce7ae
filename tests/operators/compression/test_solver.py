"""The solver: exact where losses add up, thrifty with a prior, robust to failed probes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pytest

from evolve.errors import GenomeError
from evolve.genome import digest
from evolve.genomes.compression.budget import Budget, file_bytes
from evolve.genomes.compression.profile import CompressionProfile
from evolve.score import Objective, Record, Score
from evolve.streams import Stream, rng_for
from operators.compression import random_profile
from operators.compression.solver import losses, output_errors, probes, solved
from tests.operators.compression.spaces import BITS, budgets, same, space

KL = Objective("KL")
SPACE = space(BITS, depth=False)
SIZE = file_bytes(SPACE)
BASE = CompressionProfile.uniform(SPACE, bits=3)
BUDGET = Budget(SPACE, SIZE, SIZE.of(BASE))
SCALES = np.random.default_rng(0).lognormal(size=len(SPACE.units))
ERRORS = [[float(4.0**-bits) for bits in BITS.bits] for _ in SPACE.units]


def additive(profile: CompressionProfile) -> float:
    rows = zip(SCALES, ERRORS, profile.levels.tolist())
    return 1.0 + sum(float(scale * row[level]) for scale, row, level in rows)


def told(
    profiles: Sequence[CompressionProfile], loss: Callable[[CompressionProfile], float]
) -> list[Record[CompressionProfile]]:
    return [Record(i, p, digest(p), Score((loss(p),))) for i, p in enumerate(profiles)]


def test_probes_are_the_base_with_one_thing_changed() -> None:
    bits = space(BITS)
    base = CompressionProfile.dense(bits)
    found = probes(base, levels=(0, -1), parts=True)
    assert same(found[0], base)
    n = len(bits.units)
    assert len(found) == 1 + n + 2 * bits.n_blocks  # the highest level is the base's own
    for profile in found[1 : n + 1]:
        assert (profile.levels != base.levels).sum() == 1
    gone = [(~p.attention).sum() + (~p.mlp).sum() for p in found[n + 1 :]]
    assert set(gone) == {1}
    assert len(probes(BASE)) == 1 + 3 * len(SPACE.units)


def test_additive_losses_are_solved_exactly() -> None:
    records = told(probes(BASE), additive)
    best = solved(losses(BASE, records, KL), BUDGET)
    assert BUDGET.keeps(best)
    rng = rng_for(0, 0, Stream.ASK)
    others = [random_profile(SPACE, BUDGET, rng) for _ in range(200)]
    assert additive(best) <= min(map(additive, [BASE, *others]))


def test_a_prior_needs_one_probe_a_unit() -> None:
    whole = losses(BASE, told(probes(BASE), additive), KL)
    few = losses(BASE, told(probes(BASE, levels=(0,)), additive), KL, ERRORS)
    np.testing.assert_allclose(few.levels, whole.levels, atol=1e-12)
    assert same(solved(few, BUDGET), solved(whole, BUDGET))


def test_a_unit_without_a_probe_has_the_usual_scale() -> None:
    records = told(probes(BASE, levels=(0,)), additive)
    found = losses(BASE, records[:1] + records[2:], KL, ERRORS)
    others = [
        scale
        for u, (unit, scale) in enumerate(zip(SPACE.units, SCALES.tolist()))
        if u and unit.part is SPACE.units[0].part
    ]
    shape = np.array(ERRORS[0]) - ERRORS[0][1]
    np.testing.assert_allclose(found.levels[0], np.median(others) * shape)


def test_without_a_prior_levels_lie_on_a_line() -> None:
    found = losses(BASE, told(probes(BASE, levels=(3,)), additive), KL)
    row = np.array(found.levels[0])
    assert row[1] == 0.0
    assert row[2] == pytest.approx(row[3] / 2)
    assert row[0] == pytest.approx(-row[3] / 2)  # the line goes on


def test_failed_probes_are_the_worst() -> None:
    records = told(probes(BASE), additive)
    records[1] = Record(1, records[1].genome, records[1].digest, Score.failed("NaN"))
    found = losses(BASE, records, KL)
    assert found.levels[0][0] == max(max(row) for row in found.levels)
    assert solved(found, BUDGET).levels[0] > 0


def test_nothing_told_gives_a_profile_of_the_budget() -> None:
    for budget in budgets():
        base = CompressionProfile.dense(budget.space)
        if budget.cost is not None and budget.removed is None and budget.space.grid is None:
            with pytest.raises(GenomeError):
                solved(losses(base, (), KL), budget)
        else:
            assert budget.keeps(solved(losses(base, (), KL), budget))


def test_parts_that_lose_least_are_removed() -> None:
    depth = space()
    cost = [[5.0, 1.0, 2.0, 3.0], [4.0, 3.0, 0.5, 1.0]]

    def loss(profile: CompressionProfile) -> float:
        return float(np.array(cost)[np.array([~profile.attention, ~profile.mlp])].sum())

    base = CompressionProfile.dense(depth)
    found = losses(base, told(probes(base, parts=True), loss), KL)
    best = solved(found, Budget(depth, removed=(1, 2)))
    assert np.flatnonzero(~best.attention).tolist() == [1]
    assert np.flatnonzero(~best.mlp).tolist() == [2, 3]


def test_parts_and_levels_keep_one_budget() -> None:
    bits = space(BITS)
    size = file_bytes(bits)
    base = CompressionProfile.dense(bits)
    for share, removed in product((0.1, 0.5), ((1, 1), (2, 0))):
        low, high = Budget(bits, removed=removed).reach(size)
        budget = Budget(bits, size, int(low + share * (high - low)), removed)
        found = losses(base, told(probes(base, parts=True), lambda p: -float(p.levels.sum())), KL)
        assert budget.keeps(solved(found, budget))


def test_output_errors_need_a_database() -> None:
    with pytest.raises(GenomeError, match="no level database"):
        output_errors(SPACE)
