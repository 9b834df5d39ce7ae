"""Promotion: the slow obvious statistics, ties, twins, and what is missing or broken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist, fmean, stdev

import numpy as np
import pytest

from evolve.genomes.vector import Vector
from evolve.score import Objective, Record, Score
from evolve.search.promotion import by_mean, expected_wins, ranking
from tests.evolve.cases import vector

ONE = (Objective("loss"),)
TWO = (Objective("loss"), Objective("accuracy", maximise=True))


def chance(one: Score, other: Score, m: int, maximise: bool) -> float:
    """Of `one` to beat `other`, as a textbook computes it."""
    sign = -1.0 if maximise else 1.0
    gain = sign * (other.values[m] - one.values[m])
    by_value = 0.5 + 0.5 * ((gain > 0) - (gain < 0))
    if one.samples is None or other.samples is None:
        return by_value
    mine, theirs = one.samples[m].tolist(), other.samples[m].tolist()
    if len(mine) != len(theirs) or len(mine) < 2:
        return by_value
    gaps = [sign * (b - a) for a, b in zip(mine, theirs)]
    if not all(map(math.isfinite, gaps)):
        return by_value
    error = stdev(gaps) / math.sqrt(len(gaps))
    if error == 0:
        return 0.5 + 0.5 * ((gaps[0] > 0) - (gaps[0] < 0))
    return float(NormalDist().cdf(fmean(gaps) / error))


def slow_wins(scores: Sequence[Score], objectives: Sequence[Objective]) -> list[float]:
    return [
        sum(
            chance(one, other, m, objective.maximise)
            for other in scores
            if other is not one
            for m, objective in enumerate(objectives)
        )
        for one in scores
    ]


def sampled(*rows: Sequence[float] | np.ndarray) -> Score:
    samples = tuple(np.array(row, np.float32) for row in rows)
    return Score(tuple(float(row.mean()) for row in samples), samples=samples)


def noisy(n: int, size: int, objectives: int, seed: int) -> list[Score]:
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 3, size)
    return [
        sampled(*(shared + rng.normal(0, 0.3) + rng.normal(0, 1, size) for _ in range(objectives)))
        for _ in range(n)
    ]


def records(scores: Sequence[Score], names: Sequence[str] = ()) -> list[Record[Vector]]:
    names = names or [str(i) for i in range(len(scores))]
    return [
        Record(birth, vector(0.0), name, score)
        for birth, (name, score) in enumerate(zip(names, scores, strict=True))
    ]


@pytest.mark.parametrize("objectives", [ONE, TWO], ids=len)
@pytest.mark.parametrize(("n", "size"), [(1, 5), (2, 2), (9, 3), (27, 40)])
def test_expected_wins_are_the_textbook_s(
    n: int, size: int, objectives: tuple[Objective, ...]
) -> None:
    for seed in range(5):
        scores = noisy(n, size, len(objectives), seed)
        wins = expected_wins(scores, objectives)
        assert wins == pytest.approx(slow_wins(scores, objectives), abs=1e-5)
        assert wins.sum() == pytest.approx(n * (n - 1) / 2 * len(objectives), abs=1e-5)


def test_missing_uneven_single_and_broken_samples_are_compared_by_value() -> None:
    broken = sampled([1.0, 2.0, 3.0])
    scores = [
        *noisy(4, 6, 1, seed=3),
        *noisy(3, 8, 1, seed=4),
        *noisy(2, 1, 1, seed=5),
        Score((0.1,)),
        Score((0.1,)),
        replace(broken, samples=(np.array([1.0, np.inf, 2.0]),)),
        replace(broken, samples=(np.array([np.nan, 1.0, 2.0]),)),
        broken,
    ]
    assert expected_wins(scores, ONE) == pytest.approx(slow_wins(scores, ONE), abs=1e-5)


def test_a_difference_that_is_the_same_on_every_sample_is_a_win() -> None:
    base = np.array([5.0, 1.0, 3.0])
    scores = [sampled(base + 1), sampled(base), sampled(base)]
    assert expected_wins(scores, ONE).tolist() == [0, 1.5, 1.5]
    up = (Objective("accuracy", maximise=True),)
    assert expected_wins(scores, up).tolist() == [2, 0.5, 0.5]


def test_a_sure_small_gain_beats_a_lucky_large_one() -> None:
    """By the mean alone the lucky one would go on."""
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 10, 16)
    lucky = hard.copy()
    lucky[0] -= 20  # one sample in sixteen
    others = [sampled(hard + rng.normal(0, 0.1, 16)) for _ in range(6)]
    scores = [sampled(lucky), sampled(hard - 1), *others]
    assert np.argmin([score.values[0] for score in scores]) == 0
    assert ranking(records(scores), ONE)[0] == 1


def test_ties_are_broken_by_birth_in_any_order_of_records() -> None:
    found = records([Score((1.0,)), Score((0.0,)), Score((1.0,)), Score((0.0,)), Score((1.0,))])
    assert ranking(found, ONE) == [1, 3, 0, 2, 4]
    mixed = [found[i] for i in (4, 2, 3, 0, 1)]
    assert [mixed[i].birth for i in ranking(mixed, ONE)] == [1, 3, 0, 2, 4]
    assert ranking([], ONE) == []


def test_feasible_then_by_violation_then_failed() -> None:
    scores = [
        Score.failed("exception: no"),
        Score((0.0,), violation=2.0),
        Score((5.0,), violation=1.0),
        Score((4.0,), violation=2.0),
        Score((9.0,)),
        Score((8.0,)),
        Score.failed("timeout: long"),
    ]
    assert ranking(records(scores), ONE) == [5, 4, 2, 1, 3, 0, 6]


def test_an_infeasible_rival_is_no_rival() -> None:
    """Against the rivals the second one is sure, the first is not: they would turn the order."""
    sure = np.array([1.0, 2.0, 3.0])
    unsure = sure + np.array([-0.4, 0.1, 0.1])
    first, second, rival = (sampled(row) for row in (unsure, sure, sure + 0.05))
    assert ranking(records([second, first]), ONE) == [1, 0]
    assert ranking(records([second, first, rival, rival, rival]), ONE)[0] == 0
    infeasible = replace(rival, violation=1.0)
    assert ranking(records([second, first, infeasible, infeasible]), ONE)[:2] == [1, 0]


def test_a_twin_comes_after_all_that_are_different_and_failed_ones_last() -> None:
    scores = [Score((value,)) for value in (1.0, 1.0, 1.0, 3.0, 2.0, 2.0)]
    scores += [Score((9.0,), violation=1.0), Score.failed("exception: no"), Score((0.5,))]
    names = ["a", "a", "a", "c", "b", "b", "d", "e", "e"]
    assert ranking(records(scores, names), ONE) == [8, 0, 4, 3, 6, 1, 5, 2, 7]


def test_by_mean_feasible_then_cheap_then_early_and_samples_do_not_matter() -> None:
    fair = Score((2.0,), samples=(np.zeros(3, np.float32),))
    scores = [
        Score.failed("test: no"),
        Score((0.0,), violation=1.0),
        Score((3.0,)),
        fair,
        Score((2.0,), samples=(np.full(3, 9, np.float32),)),
        Score((1.0,)),
    ]
    assert by_mean(records(scores), ONE[0]) == [5, 3, 4, 2, 1, 0]
    # Early is by birth: records come as they landed.
    assert by_mean(records(scores)[::-1], ONE[0]) == [0, 2, 1, 3, 4, 5]
    assert by_mean(records([Score((1.0,)), Score((2.0,))]), TWO[1]) == [1, 0]
