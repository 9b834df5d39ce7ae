"""26 circles by a standard solver: what anybody has in a minute, beside any evolved program.

    python -m experiments.benchmarks.circle_baseline [--seeds 3] [--seconds 60]

SLSQP (Kraft 1988, scipy's) with exact derivatives on centres and radii together, then hopping:
one to three circles are put elsewhere at random, the solver is run again, and the better packing
stays. One core; every result passes `circle_packing.verified`. Knows no search of ours.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from experiments.circle_packing import SUM, N, verified

LEFT, RIGHT = np.triu_indices(N, 1)  # of each pair
KNOWN = 2.63598  # published by several groups


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one line a seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args(arguments)
    for seed in range(given.seeds):
        print(f"seed {seed}: {sum_of(packed(seed, given.seconds)):.8f} (known: {KNOWN})")
    return 0


def packed(seed: int, seconds: float) -> np.ndarray:
    """(26, 3) rows x, y, radius: the best packing found in that time."""
    rng = np.random.default_rng(seed)
    end = time.monotonic() + seconds
    best = solved(begun(rng))
    while time.monotonic() < end:
        hopped = best.copy()
        moved = rng.choice(N, size=rng.integers(1, 4), replace=False)
        hopped[moved] = np.column_stack([rng.random((len(moved), 2)), np.full(len(moved), 0.01)])
        found = solved(hopped, rough=True)
        if found[:, 2].sum() > best[:, 2].sum():
            best = solved(found)
    return best


def begun(rng: np.random.Generator) -> np.ndarray:
    """Random centres with small radii."""
    return np.column_stack([rng.random((N, 2)), np.full(N, 0.05)])


def solved(circles: np.ndarray, *, rough: bool = False) -> np.ndarray:
    """The local optimum from `circles` (26, 3), radii then shrunk until nothing overlaps."""
    found = minimize(
        lambda v: -v[2::3].sum(),
        circles.ravel(),
        jac=lambda v: np.tile([0.0, 0.0, -1.0], N),
        method="SLSQP",
        bounds=[(0.0, 1.0), (0.0, 1.0), (0.0, 0.5)] * N,
        constraints=[{"type": "ineq", "fun": slack, "jac": slack_jacobian}],
        options={"maxiter": 60, "ftol": 1e-7} if rough else {"maxiter": 300, "ftol": 1e-12},
    )
    return feasible(found.x.reshape(N, 3))


def slack(v: np.ndarray) -> np.ndarray:
    """(429,) what must not be negative: distances less radii of pairs, then to the four walls."""
    x, y, r = v[0::3], v[1::3], v[2::3]
    apart = np.hypot(x[LEFT] - x[RIGHT], y[LEFT] - y[RIGHT]) - r[LEFT] - r[RIGHT]
    return np.concatenate([apart, x - r, 1 - x - r, y - r, 1 - y - r])


def slack_jacobian(v: np.ndarray) -> np.ndarray:
    """(429, 78)."""
    x, y = v[0::3], v[1::3]
    dx, dy = x[LEFT] - x[RIGHT], y[LEFT] - y[RIGHT]
    apart = np.maximum(np.hypot(dx, dy), 1e-12)
    pairs = np.zeros((len(LEFT), N, 3))
    rows = np.arange(len(LEFT))
    pairs[rows, LEFT] = np.column_stack([dx / apart, dy / apart, -np.ones(len(LEFT))])
    pairs[rows, RIGHT] = np.column_stack([-dx / apart, -dy / apart, -np.ones(len(LEFT))])
    walls = np.zeros((4, N, N, 3))
    each = np.arange(N)
    for wall, (axis, sign) in enumerate([(0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0)]):
        walls[wall, each, each, axis] = sign
        walls[wall, each, each, 2] = -1.0
    return np.concatenate([pairs.reshape(len(LEFT), -1), walls.reshape(4 * N, -1)])


def feasible(circles: np.ndarray) -> np.ndarray:
    """`circles` with all radii smaller by the largest violation, and a hair."""
    worst = max(0.0, -slack(circles.ravel()).min())
    shrunk = circles.copy()
    shrunk[:, 2] = np.maximum(circles[:, 2] - worst - 1e-12, 1e-9)
    return shrunk


def sum_of(circles: np.ndarray) -> float:
    """The verified sum of radii; 0 for what the verifier refuses."""
    found = verified(circles.tolist())
    return 0.0 if isinstance(found, str) else found[SUM.name]


if __name__ == "__main__":
    sys.exit(main())
