"""The final table: the paired standard error by hand, and its cells."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evolve.report.table import (
    Difference,
    cells,
    comparable,
    difference,
    header,
    knee_of,
    markdown,
    number,
)
from evolve.score import Objective, Score
from evolve.store.run import FinalRow
from tests.evolve.cases import FG


def score(*columns: list[float]) -> Score:
    samples = tuple(np.array(column, np.float32) for column in columns)
    return Score(tuple(float(np.mean(column)) for column in columns), samples=samples)


def row(name: str, test: Score, role: str = "baseline") -> FinalRow:
    return FinalRow(name, role, name, None, test, test)


def test_the_paired_error_of_one_objective_is_the_textbooks() -> None:
    found = difference(score([3.0, 5.0, 10.0]), score([1.0, 4.0, 6.0]))
    # gaps 2, 1, 4: mean 7/3, variance ((1/3)^2 + (4/3)^2 + (5/3)^2) / 2 = 7/3
    assert found.mean == pytest.approx(7 / 3)
    assert found.error == pytest.approx(math.sqrt(7 / 3 / 3))


def test_the_error_over_objectives_adds_variances_of_independent_means() -> None:
    dice = np.random.default_rng(0)
    ours = [dice.normal(3, 1, n).astype(np.float32) for n in (50, 80, 20)]
    theirs = [each + dice.normal(0.1, 0.3, len(each)).astype(np.float32) for each in ours]
    found = difference(score(*map(list, ours)), score(*map(list, theirs)))
    gaps = [a.astype(float) - b.astype(float) for a, b in zip(ours, theirs)]
    expected = math.sqrt(sum(np.var(g, ddof=1) / len(g) for g in gaps)) / 3
    assert found.mean == pytest.approx(float(np.mean([g.mean() for g in gaps])), rel=1e-5)
    assert found.error == pytest.approx(expected)
    unpaired = math.sqrt(sum(a.var(ddof=1) / len(a) * 2 for a in ours)) / 3
    assert (found.error or 9.0) < unpaired / 2


def test_the_error_is_that_of_repeated_draws() -> None:
    """Standard deviation of the mean gap over many test sets, against its estimate."""
    dice = np.random.default_rng(1)
    found = []
    for _ in range(400):
        base = [dice.normal(0, 5, 40), dice.normal(0, 5, 10)]
        other = [each + dice.normal(1, 0.5, len(each)) for each in base]
        found.append(difference(score(*map(list, other)), score(*map(list, base))))
    spread = np.std([each.mean for each in found])
    assert np.mean([each.error for each in found]) == pytest.approx(spread, rel=0.1)


def test_a_row_does_not_differ_from_itself() -> None:
    assert difference(score([1.0, 2.0]), score([1.0, 2.0])) == Difference(0.0, 0.0)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Score((2.0,)), Score((1.0,))),
        (score([2.0, 2.0]), Score((1.0,))),
        (Score((2.0,)), score([1.0, 1.0])),
        (score([2.0]), score([1.0])),
    ],
)
def test_without_two_paired_samples_there_is_no_error(ours: Score, theirs: Score) -> None:
    assert difference(ours, theirs) == Difference(1.0, None)


def test_a_mean_needs_one_unit_and_one_direction() -> None:
    nats, bits = Objective("a", unit="nats"), Objective("b", unit="bits")
    assert comparable([nats, Objective("c", unit="nats")])
    assert not comparable([nats, bits])
    assert not comparable([nats, Objective("c", maximise=True, unit="nats")])
    assert header([nats, bits]) == ["", "a", "b"]
    assert header(FG) == ["", "f", "g", "mean", "mean − knee (± s.e.)"]


def test_cells_by_hand() -> None:
    knee = score([1.0, 3.0], [2.0, 2.0])
    soup = row("soup", score([2.0, 5.0], [3.0, 3.0]))
    # gaps 1, 2 and 1, 1: mean (1.5 + 1) / 2, variances 0.5 and 0
    assert cells(soup, knee, FG) == ["soup", "3.5000", "3.0000", "3.2500", "+1.2500 ± 0.2500"]
    assert cells(row("knee", knee, "pick"), knee, FG) == ["knee", "2.0000", "2.0000", "2.0000", ""]
    assert cells(soup, None, FG)[-1] == ""
    assert cells(row("x", Score((1.0, 1.0))), knee, FG)[-1] == "-1.0000"
    assert cells(row("x", Score.failed("timeout: 3 s")), knee, FG) == [
        "x",
        "failed: timeout: 3 s",
    ]


def test_objectives_that_cannot_be_averaged_get_no_mean() -> None:
    objectives = (Objective("loss"), Objective("size", unit="bytes"))
    assert cells(row("x", Score((1.0, 2.0))), None, objectives) == ["x", "1.0000", "2.0000"]


def test_markdown_is_a_table() -> None:
    rows = [row("soup", Score((1.0, 2.0))), row("knee", Score((0.5, 1.0)), "pick")]
    assert markdown(rows, FG).splitlines() == [
        "|  | f | g | mean | mean − knee (± s.e.) |",
        "| --- | --- | --- | --- | --- |",
        "| soup | 1.0000 | 2.0000 | 1.5000 | +0.7500 |",
        "| knee | 0.5000 | 1.0000 | 0.7500 |  |",
    ]


def test_a_baseline_called_knee_is_not_the_knee() -> None:
    rows = [row("knee", Score((9.0, 9.0))), row("knee", Score((1.0, 1.0)), "pick")]
    assert knee_of(rows) is rows[1].test
    assert cells(rows[0], rows[1].test, FG)[-1] == "+8.0000"


def test_a_failed_knee_compares_with_nothing() -> None:
    rows = [row("soup", Score((1.0, 2.0))), row("knee", Score.failed("timeout"))]
    lines = markdown(rows, FG).splitlines()
    assert lines[2] == "| soup | 1.0000 | 2.0000 | 1.5000 |  |"
    assert lines[3] == "| knee | failed: timeout |"


def test_counts_are_whole_and_measures_have_four_decimals() -> None:
    assert [number(value) for value in (2018.0, -100.0, 99.0, 0.97, 1234.5, 1.0)] == [
        "2018", "-100", "99.0000", "0.9700", "1234.5000", "1.0000",
    ]  # fmt: skip
