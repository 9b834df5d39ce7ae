"""The depth benchmark's parts: the table, what is counted, and that ours needs fewer."""

from __future__ import annotations

from math import comb
from pathlib import Path

import numpy as np
import pytest

from evolve.genome import digest
from evolve.genomes.compression.budget import Budget
from evolve.genomes.compression.profile import CompressionProfile
from experiments.benchmarks import depth_search
from experiments.benchmarks.depth_search import (
    compare,
    evaluations,
    faithful,
    ours,
    profiles,
    table,
)
from tests.operators.compression.spaces import N_BLOCKS, space

RNG = np.random.default_rng(0)
ALONE = RNG.lognormal(size=2 * N_BLOCKS)
PAIRS = 0.3 * RNG.normal(size=(2 * N_BLOCKS, 2 * N_BLOCKS))


def loss(profile: CompressionProfile) -> float:
    """Nearly additive in what is removed, as the real table is; above 0."""
    gone = depth_search.removed(profile)
    return float(np.exp(gone @ ALONE + gone @ PAIRS @ gone))


@pytest.fixture(scope="module")
def known() -> dict[str, float]:
    return {digest(each): loss(each) for k in (1, 2) for each in profiles(space(), k)}


def test_profiles_are_all_there_are() -> None:
    for k in (1, 2, 3):
        found = profiles(space(), k)
        assert len({digest(each) for each in found}) == comb(N_BLOCKS, k) ** 2 == len(found)
        assert all(Budget(space(), removed=(k, k)).keeps(each) for each in found)


@pytest.mark.parametrize("make", [ours, faithful])
def test_the_optimum_is_found_and_counted_once(
    make: depth_search.Making, known: dict[str, float]
) -> None:
    for k, seed in ((1, 0), (2, 1), (2, 2)):
        names = [digest(each) for each in profiles(space(), k)]
        best = min(names, key=known.__getitem__)
        n = evaluations(make(Budget(space(), removed=(k, k)), seed), known, best, seed)
        assert 1 <= n <= len(names)


def test_ours_needs_fewer(known: dict[str, float]) -> None:
    found = compare(space(), known, 2, range(12))
    assert {len(counts) for counts in found.values()} == {12}
    assert found["ours"].mean() < found["faithful, 1 founder"].mean()
    assert found["ours"].mean() < found["random"].mean()
    lines = depth_search.report(2, 36, found)
    assert len(lines) == 5
    assert "ours <= faithful: True" in lines[-1]


def test_a_table_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = np.random.default_rng(0).integers(0, 64, (3, 16))
    first = table(space(), tokens, (1,), tmp_path)
    assert len(first) == N_BLOCKS**2
    assert min(first.values()) > 0
    monkeypatch.setattr("fitness.divergence.Divergence.evaluate", None)
    assert table(space(), tokens, (1,), tmp_path) == first
