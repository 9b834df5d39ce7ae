"""Scores: signs turn once, and nothing that is not a number becomes one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from evolve.errors import FitnessError
from evolve.score import Needs, Objective, Score, checked, costs, violations, weighed
from tests.evolve.cases import FG, F


def test_costs_turn_the_sign_of_what_is_maximised() -> None:
    objectives = (Objective("loss"), Objective("accuracy", maximise=True))
    table = costs([Score((2.0, 0.75)), Score((-1.0, 0.5)), Score.failed("x")], objectives)
    assert table.dtype == np.float64
    assert table.tolist() == [[2.0, -0.75], [-1.0, -0.5], [math.inf, math.inf]]


def test_costs_of_nothing_have_a_shape() -> None:
    assert costs([], FG).shape == (0, 2)


def test_logarithms_count_ratios_and_keep_the_order() -> None:
    objectives = (Objective("bytes", log=True), Objective("speed", maximise=True, log=True))
    scores = [Score((10.0, 1.0)), Score((1000.0, 100.0)), Score.failed("x")]
    table = costs(scores, objectives)
    seen = weighed(table, objectives)
    assert seen[:2] / math.log(10) == pytest.approx(np.array([[1.0, 0.0], [3.0, -2.0]]))
    assert np.isinf(seen[2]).all()
    assert (np.argsort(seen, axis=0) == np.argsort(table, axis=0)).all()
    assert table.tolist()[0] == [10.0, -1.0]  # not written into
    plain = (Objective("bytes"), Objective("speed", maximise=True))
    assert (weighed(table, plain) == table).all()


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_what_counts_by_ratio_is_above_zero(value: float) -> None:
    found = checked(Score((value,)), (Objective("bytes", log=True),))
    assert found.error is not None
    assert "'bytes' is" in found.error
    assert "above 0" in found.error


def test_violations_of_failures_are_infinite() -> None:
    scores = [Score((1.0,)), Score((1.0,), violation=2.5), Score.failed("x")]
    assert violations(scores).tolist() == [0.0, 2.5, math.inf]


def test_a_good_score_passes_as_it_is() -> None:
    score = Score((1.0, -2.5), violation=0.5, metrics={"bytes": 3.0}, notes={"a": "b"})
    found = checked(score, FG)
    assert {**vars(found)} == {**vars(score)}


def test_a_failed_score_passes_whatever_it_holds() -> None:
    score = Score((math.nan,), notes={"log": "text"}, error="exception: x")
    found = checked(score, FG)
    assert (found.values, found.error, found.notes) == ((), "exception: x", {"log": "text"})


def test_what_is_told_live_is_what_a_replay_tells() -> None:
    measures: Any = (np.float32(0.5), 2)
    heritage = {"z": np.zeros(2), "a": np.ones(3)}
    score = Score((1.0,), metrics={"n": 3}, measures=measures, heritage=heritage)
    found = checked(score, F)
    assert (type(found.metrics["n"]), *map(type, found.measures)) == (float, float, float)
    assert found.heritage is not None
    assert list(found.heritage) == ["a", "z"]


@pytest.mark.parametrize("words", ["\ud800 alone", "plain"])
def test_text_is_text_that_files_take(words: str) -> None:
    found = checked(Score((), error=f"exception: {words}", notes={"why": words}), F)
    assert str(found.error).encode().startswith(b"exception: ")
    assert found.notes["why"].encode()


def test_notes_of_a_failure_may_be_anything() -> None:
    notes: Any = {"count": 3, 4: None}
    assert checked(Score.failed("exception: x", notes), F).notes == {"count": "3", "4": "None"}


def test_an_exception_as_error_becomes_its_text() -> None:
    wrong: Any = ValueError("no luck")
    assert checked(Score((), error=wrong), F).error == "no luck"


@pytest.mark.parametrize(
    "value", [1, np.float32(0.1), np.float64(2), np.int64(3), np.uint8(4), np.float16(0.5), 2**60]
)
def test_any_real_number_becomes_a_plain_float_of_its_value(value: float) -> None:
    (found,) = checked(Score((value,)), F).values
    assert type(found) is float
    assert found == float(value)


def test_lists_and_arrays_of_values_become_tuples() -> None:
    listed: Any = [1.0, 2]
    assert checked(Score(listed), FG).values == (1.0, 2.0)
    plain: Any = [1.0, 2.0]
    assert checked(Score(plain), FG).values == (1.0, 2.0)
    array: Any = np.array([1.0, 2.0], np.float32)
    assert checked(Score(array), FG).values == (1.0, 2.0)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        np.float32("nan"),
        True,
        False,
        np.bool_(True),
        None,
        "0.5",
        1j,
        np.complex64(1),
        np.zeros(1),
        torch.tensor(1.0),
        [1.0],
        10**400,
    ],
    ids=repr,
)
def test_what_is_no_finite_number_fails_and_is_named(value: Any) -> None:
    found = checked(Score((0.0, value)), FG)
    assert found.values == ()
    assert found.error is not None
    assert found.error.startswith("invalid: objective 'g' is ")


@pytest.mark.parametrize("values", [(), (1.0,), (1.0, 2.0, 3.0)])
def test_the_wrong_length_fails(values: tuple[float, ...]) -> None:
    error = checked(Score(values), FG).error
    assert error == f"invalid: {len(values)} values for 2 objectives (f, g)"


@pytest.mark.parametrize(
    "values", [0.5, None, {"f": 1.0, "g": 2.0}, "ab", np.float64(1), np.ones(())]
)
def test_values_that_are_no_tuple_fail(values: Any) -> None:
    error = checked(Score(values), FG).error
    assert error is not None
    assert error.startswith("invalid: values is ")


@pytest.mark.parametrize("violation", [-1.0, -1e-300, math.nan, math.inf, True, None, "0"])
def test_a_violation_is_zero_or_more_and_finite(violation: Any) -> None:
    error = checked(Score((1.0,), violation=violation), F).error
    assert error == f"invalid: violation is {violation!r}, expected 0 or more, finite"


@pytest.mark.parametrize("value", [None, True, "x", [1.0], 10**400])
def test_metrics_are_numbers(value: Any) -> None:
    error = checked(Score((1.0,), metrics={"size": value}), F).error
    assert (
        error == f"invalid: metric 'size' is {value!r:.60}, expected a number that float64 holds"
    )


def test_a_metric_may_overflow() -> None:
    assert checked(Score((1.0,), metrics={"perplexity": math.inf}), F).error is None


@pytest.mark.parametrize(
    "samples", [np.zeros(3), (np.zeros(3),), (np.zeros((2, 2)), np.zeros(2)), ([1.0], [2.0])]
)
def test_samples_are_one_row_an_objective(samples: Any) -> None:
    error = checked(Score((1.0, 2.0), samples=samples), FG).error
    assert error == "invalid: samples is not one array (n_i,) an objective"


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"notes": {"why": 3}}, "invalid: note 'why' is 3, expected text"),
        ({"measures": (math.nan,)}, "invalid: measures is (nan,), expected finite numbers"),
        ({"measures": (None,)}, "invalid: measures is (None,), expected finite numbers"),
        (
            {"heritage": {"w": np.array(["text"])}},
            "invalid: heritage['w'] is no numpy array of numbers under a name",
        ),
        (
            {"heritage": {"w": torch.zeros(2, requires_grad=True)}},
            "invalid: heritage['w'] is no numpy array of numbers under a name",
        ),
    ],
)
def test_what_no_ledger_can_hold_fails(part: dict[str, Any], words: str) -> None:
    assert checked(Score((1.0,), **part), F).error == words


@pytest.mark.parametrize("batch", [0, -3])
def test_needs_refuse_an_empty_batch(batch: int) -> None:
    with pytest.raises(FitnessError, match=f"batch is {batch}"):
        Needs(batch=batch)


@pytest.mark.parametrize("timeout", [0.0, -1.0, math.nan])
def test_needs_refuse_a_timeout_that_has_passed(timeout: float) -> None:
    with pytest.raises(FitnessError, match="timeout"):
        Needs(timeout=timeout)
