from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("pymoo", reason="pymoo is not installed: `pip install -e '.[bench]'`")

from evox.operators.crossover import simulated_binary
from evox.operators.mutation import polynomial_mutation

from experiments.benchmarks.pymoo_problem import FAMILIES
from experiments.benchmarks.sides import (
    Begin,
    EvoxCrossover,
    EvoxMutation,
    Ours,
    native,
    peer,
    stock,
)
from operators.selection import das_dennis

POINTS = das_dennis(3, 6).numpy()  # 28
every_side = pytest.mark.parametrize("begin", [Ours, peer, native, stock])


def after(begin: Begin, generations: int, seed: int = 900) -> np.ndarray:
    side = begin(FAMILIES["dtlz2"].build(3), POINTS, 28, seed)
    for _ in range(generations):
        side.generation()
    return side.costs()


@every_side
def test_five_generations(begin: Begin) -> None:
    costs = after(begin, 5)
    assert costs.shape == (28, 3)
    assert costs.dtype == np.float64
    assert np.isfinite(costs).all()


@every_side
def test_the_same_seed_gives_the_same_bits(begin: Begin) -> None:
    assert np.array_equal(after(begin, 5), after(begin, 5))
    assert not np.array_equal(after(begin, 5), after(begin, 5, seed=901))


@every_side
def test_sixty_generations_come_near_the_sphere(begin: Begin) -> None:
    norms = np.linalg.norm(after(begin, 60), axis=1)
    assert (norms >= 1 - 1e-9).all()
    assert np.median(norms) < 1.05
    assert np.median(norms) < np.median(np.linalg.norm(after(begin, 1), axis=1)) - 0.3


@every_side
def test_the_first_generation_is_the_random_population(begin: Begin) -> None:
    calls: list[int] = []
    problem = FAMILIES["dtlz2"].build(3)
    problem.callback = lambda x, out: calls.append(len(x))
    side = begin(problem, POINTS, 28, 900)
    for _ in range(3):
        side.generation()
    assert calls == [28, 28, 28]


def test_evox_operators_under_pymoo_are_evox_operators() -> None:
    problem = FAMILIES["zdt4"].build(2)
    x = np.random.default_rng(0).uniform(problem.xl, problem.xu, size=(2, 20, problem.n_var))
    low, high = torch.from_numpy(problem.xl), torch.from_numpy(problem.xu)
    torch.manual_seed(1)
    crossed = EvoxCrossover()._do(problem, x, algorithm=None)
    mutated = EvoxMutation()._do(problem, crossed.reshape(40, -1), algorithm=None)
    torch.manual_seed(1)
    pairs = torch.cat([torch.from_numpy(x[0]), torch.from_numpy(x[1])])
    expected = simulated_binary(pairs, 1.0, 30.0)
    assert np.array_equal(crossed.reshape(40, -1), expected.numpy())
    expected = torch.clamp(polynomial_mutation(expected, low, high, 1, 20), low, high)
    assert np.array_equal(mutated, expected.numpy())
    assert (mutated == problem.xl).any() or (mutated == problem.xu).any()  # cut off, not bent
