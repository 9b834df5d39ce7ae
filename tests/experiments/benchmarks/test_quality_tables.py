from __future__ import annotations

import numpy as np

from experiments.benchmarks.quality_tables import margin, tables
from experiments.benchmarks.runs_file import Run, Task


def runs(problem: str, m: int, side: str, igd: float, hv: float, n: int = 21) -> list[Run]:
    jitter = 1 + 0.001 * np.random.default_rng(0).normal(size=n)
    return [
        Run(Task(problem, m, side, seed, 100), igd * by, hv * by, 1.0)
        for seed, by in enumerate(jitter)
    ]


def test_a_row_a_problem_and_a_table_a_number_of_objectives() -> None:
    made = [
        *runs("dtlz2", 5, "ours", 0.5, 1.0, 11),
        *runs("dtlz2", 5, "pymoo", 0.5, 1.0, 11),
        *runs("dtlz1", 3, "ours", 0.1, 1.1),
        *runs("dtlz1", 3, "pymoo", 0.2, 1.0),
        *runs("dtlz9", 3, "ours", 0.1, 1.1),  # of one side only
    ]
    lines = tables(made).splitlines()
    assert [line for line in lines if line.startswith("M = ")] == [
        "M = 3, margin ± 2%",
        "M = 5, margin ± 2%",
    ]
    (upper,) = (line for line in lines if line.startswith("| dtlz1"))
    (lower,) = (line for line in lines if line.startswith("| dtlz2"))
    assert "dtlz9" not in "".join(lines)
    assert upper.count("better") == 2
    assert "| 0/21 | 21/21 |" in upper
    assert lower.count("within") == 2
    assert "| 0/11 | 0/11 |" in lower
    heads = [line for line in lines if line.startswith("| problem")]
    assert {line.count("|") for line in (*heads, upper, lower)} == {17}
    assert lines[-1].startswith("IGD: 1 within, 1 better, 0 worse, 0 open; HV: 1 within, 1 better")
    assert "tails that differ (Holm, 0.05): 1" in lines[-1]


def test_nothing_to_compare_is_said() -> None:
    assert tables([]) == "no problem has runs of both sides yet"
    assert tables(runs("dtlz1", 3, "ours", 1, 1)) == tables([])


def test_a_hypervolume_of_nought_leaves_the_ratio_open() -> None:
    made = [*runs("dtlz3", 3, "ours", 1, 0.0), *runs("dtlz3", 3, "pymoo", 1, 0.0)]
    (row,) = (line for line in tables(made).splitlines() if line.startswith("| dtlz3"))
    assert "nan [nan, nan] | open" in row


def test_margins() -> None:
    assert [margin(m) for m in (2, 3, 5, 8)] == [0.02, 0.02, 0.02, 0.05]
