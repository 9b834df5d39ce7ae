import numpy as np
from scipy.optimize import approx_fprime

from experiments.benchmarks.circle_baseline import (
    begun,
    feasible,
    slack,
    slack_jacobian,
    solved,
    sum_of,
)


def test_the_derivatives_are_exact() -> None:
    v = np.random.default_rng(0).random(78)
    assert np.allclose(slack_jacobian(v), approx_fprime(v, slack, 1e-7), atol=1e-5)


def test_one_solve_is_a_good_packing_and_passes_the_verifier() -> None:
    assert 2.4 < sum_of(solved(begun(np.random.default_rng(0)))) < 2.636


def test_what_overlaps_a_little_is_shrunk_until_it_does_not() -> None:
    grid = np.array([[(i % 6 + 0.5) / 6, (i // 6 + 0.5) / 6, 0.0835] for i in range(26)])
    assert sum_of(grid) == 0.0
    assert sum_of(feasible(grid)) > 26 * 0.083
