from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.benchmarks.statistics_of_runs import (
    fisher,
    holm,
    in_tail,
    ratio_interval,
    verdict,
)


def test_constant_sides_have_one_ratio() -> None:
    assert ratio_interval(np.full(11, 3.0), np.full(7, 2.0)) == (1.5, 1.5, 1.5)


def test_the_interval_covers_the_ratio_nine_times_in_ten_or_a_little_more() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for i in range(100):
        a, b = rng.lognormal(0.1, 0.2, 21), rng.lognormal(0.0, 0.2, 21)
        ratio, low, high = ratio_interval(a, b, seed=i)
        assert low <= ratio <= high
        covered += low <= math.exp(0.1) <= high
    assert 85 <= covered <= 99  # of medians the percentile bootstrap is a little wide


def test_the_same_seed_gives_the_same_interval() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.random(21), rng.random(21)
    assert ratio_interval(a, b) == ratio_interval(a, b)
    assert ratio_interval(a, b) != ratio_interval(a, b, seed=1)


def test_a_median_of_nought_has_no_ratio() -> None:
    assert all(math.isnan(each) for each in ratio_interval(np.ones(3), np.zeros(3)))


def test_noughts_on_both_sides_widen_the_interval() -> None:
    some = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    ratio, low, high = ratio_interval(some, some)
    assert (ratio, low, high) == (1.0, 0.0, math.inf)


@pytest.mark.parametrize(
    ("low", "high", "less_is_better", "expected"),
    [
        (0.99, 1.01, True, "within"),
        (0.985, 0.995, True, "within"),
        (0.90, 0.97, True, "better"),
        (0.90, 0.97, False, "worse"),
        (1.01, 1.03, True, "worse"),
        (1.01, 1.03, False, "better"),
        (0.97, 1.03, True, "open"),
        (math.nan, math.nan, True, "open"),
    ],
)
def test_verdicts(low: float, high: float, less_is_better: bool, expected: str) -> None:
    assert verdict(low, high, 0.02, less_is_better) == expected


def test_tails_are_counted_above_the_pooled_median() -> None:
    # pooled median 1.0, limit 1.05
    assert in_tail(np.array([0.9, 1.0, 1.06]), np.array([1.0, 1.04, 1.2, 0.8])) == (1, 1)


def test_fisher_on_the_lady_tasting_tea() -> None:
    assert fisher(3, 4, 1, 4) == pytest.approx(34 / 70)  # Fisher 1935
    assert fisher(4, 4, 0, 4) == pytest.approx(2 / 70)
    assert fisher(0, 5, 0, 9) == 1.0


def test_fisher_equals_scipy() -> None:
    scipy_stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    rng = np.random.default_rng(3)
    for _ in range(200):
        n, k = rng.integers(1, 22, size=2).tolist()
        a, b = int(rng.integers(n + 1)), int(rng.integers(k + 1))
        expected = scipy_stats.fisher_exact([[a, n - a], [b, k - b]]).pvalue
        assert fisher(a, n, b, k) == pytest.approx(expected)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
