from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch

from evolve.genomes.compression.profile import CompressionProfile
from evolve.score import Record, Score
from experiments.benchmarks.compression import (
    SUPER_FAST,
    THIRD,
    Mode,
    Outcome,
    first,
    interval,
    main,
    spent,
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


def test_the_table_compares_each_arm_with_ours_of_each_seed_and_of_all() -> None:
    outcomes = [
        found("uniform", [0.5, 0.6, 0.7]),
        found("faithful", [0.45, 0.55, 0.65]),
        found("ours", [0.4, 0.5, 0.6]),
        found("faithful", [0.31, 0.41, 0.51], seed=1),
        found("ours", [0.35, 0.45, 0.55], seed=1),
    ]
    rows = table("stories", Mode.BITS, 1000, outcomes)[3:]
    assert rows == [
        "| uniform | 0 | 0.6000 | 3.00 | 100 | -0.1000 [-0.1000, -0.1000] | better |",
        "| faithful | 0 | 0.5500 | 3.00 | 100 | -0.0500 [-0.0500, -0.0500] | better |",
        "| ours | 0 | 0.5000 | 3.00 | 100 | | |",
        "| uniform | 1 | 0.6000 | 3.00 | 100 | -0.1500 [-0.1500, -0.1500] | better |",
        "| faithful | 1 | 0.4100 | 3.00 | 100 | +0.0400 [+0.0400, +0.0400] | worse |",
        "| ours | 1 | 0.4500 | 3.00 | 100 | | |",
        "| uniform | all | | | | -0.1250 [-0.1250, -0.1250] | better |",
        "| faithful | all | | | | -0.0050 [-0.0050, -0.0050] | better |",
    ]


def test_a_third_is_compared_with_faithful() -> None:
    outcomes = [
        found("faithful", [0.3, 0.4, 0.5]),
        found("ours", [0.1, 0.2, 0.3]),
        found(THIRD, [0.25, 0.35, 0.45]),
    ]
    rows = table("stories", Mode.BITS, 1000, outcomes)
    assert len(rows) == 7
    assert rows[-1] == (
        "Seed 0, ours after 100 tokens, a third of faithful's: 0.3500; "
        "minus faithful's last: -0.0500 [-0.0500, -0.0500], better"
    )


def test_the_first_is_the_best_of_the_dearest_rung_within_the_tokens() -> None:
    # Tokens 1 a record at rung 0, 4 at rung 1; a genome that comes twice at a rung costs once.
    rungs, values = [0, 0, 1, 0, 1, 1, 1], [9.0, 1.0, 5.0, 2.0, 6.0, 6.0, 4.0]
    genomes = ["a", "b", "a", "c", "d", "d", "b"]
    records = [
        cast(
            "Record[CompressionProfile]",
            Record(
                i, genome, genome, Score((value,), metrics={"tokens": 4.0 if rung else 1.0}), rung
            ),
        )
        for i, (genome, rung, value) in enumerate(zip(genomes, rungs, values))
    ]
    spending = [(2, "b", 2, 1.0), (5, "b", 2, 1.0), (6, "a", 6, 5.0), (14, "a", 11, 5.0)]
    for tokens_, genome, taken, value in [*spending, (15, "b", 15, 4.0), (99, "b", 15, 4.0)]:
        assert first(records, tokens_) == (genome, taken, value)


def test_a_failed_evaluation_costs_what_others_cost_at_its_rung() -> None:
    good, bad = Score((1.0,), metrics={"tokens": 4.0}), Score.failed("invalid: nan")
    records = [
        cast("Record[CompressionProfile]", Record(i, name, name, score, rung))
        for i, (name, score, rung) in enumerate(
            [("a", good, 1), ("b", bad, 1), ("b", bad, 1), ("c", bad, 0)]
        )
    ]
    assert spent(records) == 4 + 4


def test_a_budget_is_a_number_or_a_name() -> None:
    assert tokens("super-fast") == SUPER_FAST
    assert tokens("400000") == 400_000


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert main(["--device", "cuda"]) == 1
    assert capsys.readouterr().out == "no CUDA device: not measured\n"
