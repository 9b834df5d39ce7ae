from __future__ import annotations

from collections.abc import Callable

import moocore
import numpy as np
import pytest
import torch

pytest.importorskip("pymoo", reason="pymoo is not installed: `pip install -e '.[bench]'`")

from experiments.benchmarks.pymoo_problem import FACTORS, FAMILIES, Evaluated, simplex, sphere
from fitness.problems import Formula, dtlz1, dtlz2, zdt1

DTLZ = [name for name in FAMILIES if "dtlz" in name]
ZDT = [name for name in FAMILIES if name.startswith("zdt")]
EVERY = [(name, m) for name in DTLZ for m in (3, 5, 8)] + [(name, 2) for name in ZDT]


def drawn(name: str, m: int, n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) genes in the box and their (n, m) costs."""
    problem = FAMILIES[name].build(m)
    x = np.random.default_rng(m).uniform(problem.xl, problem.xu, size=(n, problem.n_var))
    return x, problem.evaluate(x)


@pytest.mark.parametrize(
    ("name", "m", "formula"), [("dtlz1", 3, dtlz1), ("dtlz2", 5, dtlz2), ("zdt1", 2, zdt1)]
)
def test_a_problem_is_its_formula(name: str, m: int, formula: Formula) -> None:
    x, costs = drawn(name, m)
    assert np.allclose(costs, [formula(row, m) for row in x])


@pytest.mark.parametrize("m", [3, 5, 8])
@pytest.mark.parametrize("name", ["dtlz1", "dtlz2"])
def test_scaled_multiplies_by_powers(name: str, m: int) -> None:
    (_, plain), (_, scaled) = drawn(name, m), drawn(f"scaled-{name}", m)
    for i in range(m):
        assert np.allclose(scaled[:, i], plain[:, i] * FACTORS[m] ** i)


@pytest.mark.parametrize("m", [3, 5, 8])
@pytest.mark.parametrize(
    ("name", "size"),
    [("dtlz1", lambda f: f.sum(1)), ("dtlz2", lambda f: np.linalg.norm(f, axis=1))],
)
def test_inverted_counts_from_the_top(
    name: str, size: Callable[[np.ndarray], np.ndarray], m: int
) -> None:
    """0.5 (1 + g) is DTLZ1's sum of costs, 1 + g is DTLZ2's norm."""
    (_, plain), (_, inverted) = drawn(name, m), drawn(f"inverted-{name}", m)
    assert np.allclose(inverted, size(plain)[:, None] - plain)


@pytest.mark.parametrize(("name", "m"), EVERY)
def test_a_front_is_not_dominated_by_itself_or_by_the_problem(name: str, m: int) -> None:
    front = FAMILIES[name].front(m)
    assert front.shape[1] == m
    assert (front.max(0) > front.min(0)).all()
    few = front[:: max(1, len(front) // 300)]
    # ZDT2 ends level and corners have zeros: equal values may tie, rounding may not decide
    assert moocore.is_nondominated(few.round(9)).mean() > 0.99
    _, costs = drawn(name, m, 300)
    better = (costs[:, None] < few - 1e-9).all(2)
    assert not better.any()


@pytest.mark.parametrize(("name", "m"), [each for each in EVERY if each[0] != "zdt3"])
def test_a_front_is_reached_at_the_optimal_genes(name: str, m: int) -> None:
    x, _ = drawn(name, m)
    x[:, m - 1 :] = 0.0 if name in ZDT else 0.5
    front = FAMILIES[name].front(m)
    span = front.max(0) - front.min(0)
    costs = FAMILIES[name].build(m).evaluate(x) / span
    away = np.linalg.norm(costs[:, None] - front / span, axis=2).min(1)
    coarse = {2: 0.02, 3: 0.03, 5: 0.2, 8: 0.5}[m]
    assert away.max() < coarse


def test_zdt3_front_is_reached_where_it_is_not_dominated() -> None:
    problem = FAMILIES["zdt3"].build(2)
    x = np.zeros((2_000, problem.n_var))
    x[:, 0] = np.linspace(0, 1, 2_000)
    costs = problem.evaluate(x)
    best = costs[moocore.is_nondominated(costs)]
    front = FAMILIES["zdt3"].front(2)
    away = np.linalg.norm(best[:, None] - front, axis=2)
    assert away.min(1).max() < 0.02
    assert away.min(0).max() < 0.03


@pytest.mark.parametrize("m", [3, 5, 8])
def test_samples_hold_their_corners_and_lie_where_they_should(m: int) -> None:
    for sample, size in ((simplex(m), simplex(m).sum(1)), (sphere(m), (sphere(m) ** 2).sum(1))):
        assert np.allclose(size, 1)
        assert len(sample) > 5_000
        assert np.array_equal(sample.min(0), np.zeros(m))
        assert np.array_equal(sample.max(0), np.ones(m))


def test_evox_sees_the_same_numbers() -> None:
    x, costs = drawn("dtlz3", 3)
    problem = Evaluated(FAMILIES["dtlz3"].build(3))
    seen = problem.evaluate(torch.from_numpy(x))
    assert seen.dtype == torch.float64
    assert np.array_equal(seen.numpy(), costs)
    assert problem.evaluate(torch.from_numpy(x).float()).dtype == torch.float32
