"""Ridge regression against its normal equations; a surrogate that finds what is good."""

from __future__ import annotations

import numpy as np
import pytest

from evolve.errors import ExperimentError
from evolve.genome import digest
from evolve.genomes.vector import Box, Vector
from evolve.score import Objective, Record, Score
from evolve.search.surrogate import STRENGTHS, Surrogate, ridge

BOX = Box.of(0.0, 1.0, 6)
COST = Objective("cost")
WEIGHTS = np.array([3.0, -2.0, 0.0, 1.0, 0.5, -1.0])


def vectors(n: int, seed: int = 0) -> list[Vector]:
    rng = np.random.default_rng(seed)
    return [Vector.random(BOX, rng) for _ in range(n)]


def told(n: int, seed: int = 0, noise: float = 0.0) -> list[Record[Vector]]:
    """Linear costs, two rungs, the second one dearer by 10."""
    rng = np.random.default_rng(seed + 1)
    found = []
    for i, v in enumerate(vectors(n, seed)):
        cost = float(v.values @ WEIGHTS) + 10.0 * (i % 2) + noise * float(rng.normal())
        found.append(Record(i, v, digest(v), Score((cost,)), rung=i % 2))
    return found


def surrogate(**changes: float | bool) -> Surrogate[Vector]:
    parts = {"pool": 4, "boldness": 0.0, **changes}
    return Surrogate(lambda v: v.values, COST, **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [5, 40])
def test_ridge_solves_the_normal_equations_at_its_best_strength(n: int) -> None:
    rng = np.random.default_rng(0)
    x, groups = rng.normal(size=(n, 8)), np.arange(n) % 2
    y = x @ rng.normal(size=8) + 5.0 * groups + 0.1 * rng.normal(size=n)
    found = ridge(x, y, groups)
    centred, target = x.copy(), y.copy()
    for group in (0, 1):
        centred[groups == group] -= x[groups == group].mean(0)
        target[groups == group] -= y[groups == group].mean()
    gram = centred.T @ centred
    scale = (centred**2).sum() / 8
    scores, means, covariances = [], [], []
    for strength in STRENGTHS * scale:
        inverse = np.linalg.inv(gram + strength * np.eye(8))
        mean = inverse @ centred.T @ target
        freedom = n - 2 - np.trace(inverse @ gram)
        misfit = ((target - centred @ mean) ** 2).sum()
        scores.append(misfit / freedom**2)
        means.append(mean)
        covariances.append(misfit / freedom * inverse)
    best = int(np.argmin(scores))
    np.testing.assert_allclose(found.mean, means[best], atol=1e-8)
    np.testing.assert_allclose(found.root @ found.root.T, covariances[best], atol=1e-5)


def test_it_keeps_the_best_of_the_pool() -> None:
    screen = surrogate()
    screen.learn(told(40))
    pool = vectors(50, seed=9)
    true = [float(v.values @ WEIGHTS) for v in pool]
    chosen = screen.choose(pool, 5, np.random.default_rng(0))
    assert chosen == np.argsort(true)[:5].tolist()


def test_a_maximised_objective_is_turned() -> None:
    screen = Surrogate(
        lambda v: np.asarray(v.values), Objective("gain", maximise=True), boldness=0.0
    )
    screen.learn(told(40))
    pool = vectors(50, seed=9)
    true = [float(v.values @ WEIGHTS) for v in pool]
    assert screen.choose(pool, 1, np.random.default_rng(0)) == [int(np.argmax(true))]


def test_the_bold_choose_other_children_now_and_then() -> None:
    pool = vectors(50, seed=9)
    picks = {}
    for boldness in (0.0, 3.0):
        screen = surrogate(boldness=boldness)
        screen.learn(told(12, noise=0.5))
        draws = [screen.choose(pool, 3, np.random.default_rng(s)) for s in range(20)]
        assert all(len(set(draw)) == 3 for draw in draws)
        picks[boldness] = {i for draw in draws for i in draw}
        again = [screen.choose(pool, 3, np.random.default_rng(s)) for s in range(20)]
        assert draws == again
    assert len(picks[0.0]) == 3 < len(picks[3.0])


def test_it_predicts_nothing_before_it_has_learned() -> None:
    screen = surrogate(least=10)
    screen.learn(told(9))
    assert screen.choose(vectors(6), 2, np.random.default_rng(0)) == [0, 1]
    screen.learn(told(40)[20:])
    assert screen.choose(vectors(50, 9), 2, np.random.default_rng(0)) != [0, 1]


def test_failed_and_infeasible_records_teach_nothing() -> None:
    one, other = surrogate(), surrogate()
    v = vectors(1)[0]
    for screen in (one, other):
        screen.learn(told(20))
    one.learn([Record(90, v, "", Score.failed("NaN")), Record(91, v, "", Score((-99.0,), 1.0))])
    pool = vectors(50, seed=9)
    picks = [screen.choose(pool, 4, np.random.default_rng(1)) for screen in (one, other)]
    assert picks[0] == picks[1]


def test_only_the_newest_are_fitted() -> None:
    """The world turned round: old records would mislead."""
    screen = surrogate(memory=20)
    screen.learn(
        [Record(r.birth, r.genome, "", Score((-r.score.values[0],)), r.rung) for r in told(200)]
    )
    screen.learn(told(20, seed=5))
    pool = vectors(50, seed=9)
    true = [float(v.values @ WEIGHTS) for v in pool]
    assert screen.choose(pool, 1, np.random.default_rng(0)) == [int(np.argmin(true))]


def test_what_does_not_fit_is_said() -> None:
    for changes in ({"pool": 0}, {"least": 2}, {"memory": 1}, {"boldness": -1.0}):
        with pytest.raises(ExperimentError, match=next(iter(changes))):
            surrogate(**changes)  # type: ignore[arg-type]


def test_logarithms_are_of_what_has_one() -> None:
    """Products become sums; a cost of 0 is left out."""
    screen = surrogate(logarithm=True)
    rows = [(v, float(np.exp(v.values @ WEIGHTS))) for v in vectors(30)]
    screen.learn([Record(i, v, "", Score((cost,))) for i, (v, cost) in enumerate(rows)])
    screen.learn([Record(30, vectors(1)[0], "", Score((0.0,)))])
    pool = vectors(50, seed=9)
    true = [float(v.values @ WEIGHTS) for v in pool]
    chosen = screen.choose(pool, 5, np.random.default_rng(0))
    assert chosen == np.argsort(true)[:5].tolist()
