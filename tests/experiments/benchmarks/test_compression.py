from __future__ import annotations

import numpy as np

from experiments.benchmarks.compression import (
    SUPER_FAST,
    Mode,
    Outcome,
    interval,
    table,
    tokens,
    verdict,
)


def found(arm: str, kl: list[float], seed: int = 0) -> Outcome:
    return Outcome(arm, seed, 100, 0.1, tuple(kl), 3.0, 0)


def test_an_interval_holds_the_mean_and_shrinks() -> None:
    few, many = (np.random.default_rng(0).normal(1.0, 1.0, n) for n in (10, 1000))
    low, high = interval(few)
    assert low < few.mean() < high
    assert np.diff(interval(many)) < (high - low) / 3
    assert interval(np.full(5, 2.0)) == (2.0, 2.0)


def test_verdicts() -> None:
    assert verdict(-0.2, -0.1, 1.0) == "better"
    assert verdict(-0.2, 0.009, 1.0) == "at least as good"
    assert verdict(-0.2, 0.011, 1.0) == "open"
    assert verdict(0.001, 0.011, 1.0) == "worse"


def test_the_table_compares_each_arm_with_ours_of_its_seed() -> None:
    outcomes = [
        found("uniform", [0.5, 0.6, 0.7]),
        found("ours", [0.4, 0.5, 0.6]),
        found("faithful", [0.3, 0.4, 0.5], seed=1),
        found("ours", [0.35, 0.45, 0.55], seed=1),
    ]
    rows = table("stories", Mode.BITS, 1000, outcomes)[3:]
    assert "| uniform | 0 | 0.6000 | 3.00 | 100 | -0.1000 [-0.1000, -0.1000] | better |" in rows
    assert "| faithful | 1 | 0.4000 | 3.00 | 100 | +0.0500 [+0.0500, +0.0500] | worse |" in rows
    assert rows[1].endswith("| +0.0000 [+0.0000, +0.0000] |  |")


def test_a_budget_is_a_number_or_a_name() -> None:
    assert tokens("super-fast") == SUPER_FAST
    assert tokens("400000") == 400_000
