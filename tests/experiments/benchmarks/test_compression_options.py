from __future__ import annotations

from experiments.benchmarks.compression import Outcome
from experiments.benchmarks.compression_options import options, table
from experiments.profiles import Mode


def found(arm: str, kl: list[float], seed: int = 0, tokens: int = 100) -> Outcome:
    return Outcome(arm, seed, tokens, 0.1, tuple(kl), 3.0, 0)


def test_each_mode_has_the_options_that_fit_it() -> None:
    assert options(Mode.BITS) == [
        "faithful", "warm", "trades", "paired", "screened", "front", "ours",
    ]  # fmt: skip
    assert options(Mode.SPARSITY) == ["faithful", "warm", "trades", "paired", "screened", "ours"]
    assert options(Mode.DEPTH) == ["faithful", "warm", "paired", "screened", "ours"]


def test_the_table_compares_each_option_with_faithful_over_the_seeds() -> None:
    level = {"faithful": 0.5, "warm": 0.4, "paired": 0.6, "screened": 0.504, "ours": 0.3}
    outcomes = [
        found(arm, [kl + 0.1 * seed, kl + 0.2 + 0.1 * seed], seed, 100 + 2 * seed)
        for arm, kl in level.items()
        for seed in (1, 0)
    ]
    lines = table("stories", Mode.DEPTH, 1000, outcomes)
    assert lines[0].endswith("depth: budget 1,000 tokens a search, 2 seeds, 2 held-out sequences")
    assert lines[3:] == [
        "| faithful | 0.6500 | 101 | | |",
        "| warm | 0.5500 | 101 | -0.1000 [-0.1000, -0.1000] | better |",
        "| paired | 0.7500 | 101 | +0.1000 [+0.1000, +0.1000] | worse |",
        "| screened | 0.6540 | 101 | +0.0040 [+0.0040, +0.0040] | at least as good |",
        "| ours | 0.4500 | 101 | -0.2000 [-0.2000, -0.2000] | better |",
    ]
