import time

import numpy as np
import pytest

from evolve.errors import FitnessError
from evolve.genomes.vector import Box, Vector
from fitness.problems import Problem, dtlz1, dtlz2, rastrigin, sphere, zdt1
from tests.contracts.fitness import FitnessContract

BOX = Box.of(0.0, 1.0, 6)


def vectors(n: int = 4) -> list[Vector]:
    rng = np.random.default_rng(0)
    return [Vector.random(BOX, rng) for _ in range(n)]


class TestContract(FitnessContract):
    @pytest.fixture(
        params=[
            Problem(sphere),
            Problem(rastrigin),
            Problem(zdt1, 2),
            Problem(dtlz1, 3),
            Problem(dtlz2, 4),
        ],
        ids=lambda problem: problem.formula.__name__,
    )
    def fitness(self, request: pytest.FixtureRequest) -> Problem:
        return request.param

    @pytest.fixture
    def genomes(self) -> list[Vector]:
        return vectors()


def test_a_formula_that_breaks_is_a_failed_evaluation() -> None:
    one_gene = Vector(np.zeros(1), Box.of(0.0, 1.0, 1))
    wrong_count, scored = (
        Problem(zdt1, 3).evaluate(vectors(1), 0, 0)[0],
        Problem(sphere).evaluate([one_gene], 0, 0)[0],
    )
    assert wrong_count.error == "invalid: 2 values for 3 objectives (f1, f2, f3)"
    assert scored.values == (0.0,)


def test_optima_of_the_single_objective_problems() -> None:
    assert sphere(np.zeros(5), 1) == (0.0,)
    assert sphere(np.array([1.0, -2.0]), 1) == (5.0,)
    assert rastrigin(np.zeros(5), 1) == (0.0,)
    assert rastrigin(np.array([1.0, 2.0]), 1) == pytest.approx((5.0,))


def test_zdt1_by_hand() -> None:
    assert zdt1(np.array([0.25, 0.0, 0.0]), 2) == (0.25, 0.5)
    assert zdt1(np.array([0.4, 1.0, 1.0]), 2) == pytest.approx((0.4, 8.0))  # g = 10


@pytest.mark.parametrize("m", [2, 3, 5])
def test_fronts_of_dtlz(m: int) -> None:
    rng = np.random.default_rng(m)
    for _ in range(20):
        x = np.concatenate([rng.random(m - 1), np.full(4, 0.5)])
        assert sum(dtlz1(x, m)) == pytest.approx(0.5)
        assert sum(f * f for f in dtlz2(x, m)) == pytest.approx(1.0)
        assert sum(dtlz1(rng.random(m + 3), m)) > 0.5


def test_dtlz_by_hand() -> None:
    x = np.array([0.25, 0.5, 0.5])
    assert dtlz1(x, 3) == pytest.approx((0.0625, 0.0625, 0.375))  # ½ x1 x2, ½ x1 (1-x2), ½ (1-x1)
    c, s = np.cos(np.pi / 8), np.sin(np.pi / 8)
    assert dtlz2(x, 3) == pytest.approx((c * 0.5**0.5, c * 0.5**0.5, s))


def test_durations_have_a_heavy_tail_of_the_stated_mean() -> None:
    problem = Problem(sphere, seconds=2.0, tail=1.0)
    genomes = vectors(4000)
    durations = np.array([problem.duration(genome) for genome in genomes])
    assert durations.mean() == pytest.approx(2.0, rel=0.1)
    assert np.log(durations).std() == pytest.approx(1.0, rel=0.05)
    assert problem.duration(Vector(genomes[0].values.copy(), BOX)) == durations[0]
    assert Problem(sphere, seconds=2.0).duration(genomes[0]) == 2.0


def test_it_sleeps_its_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    problem = Problem(sphere, seconds=0.5, tail=1.0)
    problem.evaluate(vectors(2), 0, 0)
    assert slept == [problem.duration(genome) for genome in vectors(2)]


def test_a_wrong_declaration_is_refused() -> None:
    with pytest.raises(FitnessError, match="n_objectives >= 1"):
        Problem(sphere, n_objectives=0)
    with pytest.raises(FitnessError, match="seconds >= 0"):
        Problem(sphere, seconds=-1.0)
