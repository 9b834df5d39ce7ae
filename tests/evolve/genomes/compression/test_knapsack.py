"""The knapsack solver against brute force, and on a problem of a real model's size."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.errors import GenomeError
from evolve.genomes.compression.knapsack import least_loss


def brute(
    losses: list[list[float]],
    costs: list[list[int]],
    limit: int,
    marks: list[list[int]] | None = None,
    counts: tuple[int, ...] = (),
) -> tuple[float, int] | None:
    """The least loss, and of equal ones the least cost; None if nothing fits."""
    best = None
    for choice in product(*(range(len(row)) for row in losses)):
        cost = sum(row[i] for row, i in zip(costs, choice))
        taken = [row[i] for row, i in zip(marks or [], choice)]
        if cost <= limit and all(taken.count(j) == k for j, k in enumerate(counts)):
            found = (sum(row[i] for row, i in zip(losses, choice)), cost)
            best = found if best is None else min(best, found)
    return best


def problem(seed: int) -> tuple[list[list[float]], list[list[int]], int]:
    """Few groups; losses of eighths, so that there are ties and sums are exact."""
    rng = np.random.default_rng(seed)
    step = int(rng.choice([1, 1, 7, 64]))
    sizes = rng.integers(1, 5, size=int(rng.integers(1, 7)))
    losses = [(rng.integers(-8, 40, n) / 8).tolist() for n in sizes]
    costs = [(rng.integers(0, 20, n) * step + int(rng.integers(5))).tolist() for n in sizes]
    low, high = (sum(f(row) for row in costs) for f in (min, max))
    return losses, costs, int(rng.integers(low, high + 2))


@settings(deadline=None, max_examples=200)
@given(seed=st.integers(0, 2**32))
def test_it_is_what_brute_force_finds(seed: int) -> None:
    losses, costs, limit = problem(seed)
    choice = least_loss(losses, costs, limit)
    found = tuple(sum(row[i] for row, i in zip(t, choice)) for t in (losses, costs))
    assert found[1] <= limit
    assert found == brute(losses, costs, limit)


@settings(deadline=None, max_examples=200)
@given(seed=st.integers(0, 2**32))
def test_exact_counts(seed: int) -> None:
    losses, costs, limit = problem(seed)
    rng = np.random.default_rng(seed + 1)
    marks = [rng.integers(-1, 2, len(row)).tolist() for row in losses]
    counts = tuple(rng.integers(0, 3, 2).tolist())
    expected = brute(losses, costs, limit, marks, counts)
    if expected is None:
        with pytest.raises(GenomeError, match="counts"):
            least_loss(losses, costs, limit, marks=marks, counts=counts)
        return
    choice = least_loss(losses, costs, limit, marks=marks, counts=counts)
    found = tuple(sum(row[i] for row, i in zip(t, choice)) for t in (losses, costs))
    assert found == expected
    taken = [row[i] for row, i in zip(marks, choice)]
    assert [taken.count(j) for j in range(2)] == list(counts)


def exact_table(losses: list[list[float]], costs: list[list[int]], limit: int) -> float:
    """The textbook's table over every cost up to the limit, in units of the costs' gcd."""
    floor = sum(min(row) for row in costs)
    spare = [[cost - min(row) for cost in row] for row in costs]
    step = int(np.gcd.reduce([cost for row in spare for cost in row]))
    room = (limit - floor) // step
    best = np.zeros(room + 1)
    for loss, row in zip(losses, spare):
        new = np.full(room + 1, np.inf)
        for value, cost in zip(loss, row):
            shift = cost // step
            if shift <= room:
                new[shift:] = np.minimum(new[shift:], best[: room + 1 - shift] + value)
        best = new
    return float(best[-1])


def test_a_model_s_size_is_exact() -> None:
    """210 layers of SmolLM2's four sizes at five bit-widths, byte costs, uniform 3 bits."""
    rng = np.random.default_rng(0)
    sizes = [576 * n for n in (576, 192, 192, 576, 1536, 1536, 1536)] * 30
    costs = [[size * bits // 8 + size // 32 + 16 for bits in (2, 3, 4, 5, 6)] for size in sizes]
    losses = [
        [float(scale * size * 4.0**-bits * rng.uniform(0.9, 1.1)) for bits in (2, 3, 4, 5, 6)]
        for size, scale in zip(sizes, rng.lognormal(size=210))
    ]
    limit = sum(row[1] for row in costs)
    choice = least_loss(losses, costs, limit)
    found = sum(row[i] for row, i in zip(losses, choice))
    assert sum(row[i] for row, i in zip(costs, choice)) <= limit
    assert found == pytest.approx(exact_table(losses, costs, limit), rel=1e-9)
    assert found < sum(row[1] for row in losses)


def test_costs_without_a_common_divisor_are_exact() -> None:
    """Nanoseconds: no table of the limit's length could be filled."""
    rng = np.random.default_rng(1)
    costs = [np.sort(rng.integers(10**7, 10**9, 5)).tolist() for _ in range(12)]
    losses = [np.sort(rng.random(5))[::-1].tolist() for _ in range(12)]
    limit = sum(row[2] for row in costs)
    choice = least_loss(losses, costs, limit)
    # Meet in the middle: all choices of six groups each, joined by cost.
    halves = []
    for part in (slice(6), slice(6, 12)):
        sums = [np.zeros(1), np.zeros(1)]
        for rows in zip(costs[part], losses[part]):
            sums = [(a[:, None] + np.array(b)).ravel() for a, b in zip(sums, rows)]
        halves.append(sums)
    order = np.argsort(halves[1][0])
    cost, loss = halves[1][0][order], np.minimum.accumulate(halves[1][1][order])
    at = np.searchsorted(cost, limit - halves[0][0], side="right") - 1
    best = (halves[0][1] + np.where(at >= 0, loss[np.maximum(at, 0)], np.inf)).min()
    assert sum(row[i] for row, i in zip(losses, choice)) == pytest.approx(best)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(GenomeError, match="cheapest costs 6"):
        least_loss([[0.0], [1.0]], [[2], [4]], 5)
    with pytest.raises(GenomeError, match="2 groups and costs of 1"):
        least_loss([[0.0], [1.0]], [[2]], 5)
    with pytest.raises(GenomeError, match="Group 0"):
        least_loss([[np.nan]], [[2]], 5)
    with pytest.raises(GenomeError, match="Group 0"):
        least_loss([[]], [[]], 5)
    with pytest.raises(GenomeError, match="marks"):
        least_loss([[0.0]], [[2]], 5, marks=[[1]], counts=(1,))


def test_nothing_to_choose_is_the_empty_choice() -> None:
    assert least_loss([], [], 0) == ()


@settings(deadline=None, max_examples=200)
@given(seed=st.integers(0, 2**32))
def test_losses_whose_sums_round_are_not_dropped(seed: int) -> None:
    """The bound of the best choice may be above its loss by what summation loses."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 7))
    losses, costs = rng.random((n, 3)).tolist(), rng.integers(0, 20, (n, 3)).tolist()
    low, high = (sum(map(f, costs)) for f in (min, max))
    limit = int(rng.integers(low, high + 2))
    choice = least_loss(losses, costs, limit)
    found = brute(losses, costs, limit)
    assert found is not None
    assert sum(row[i] for row, i in zip(losses, choice)) == pytest.approx(found[0], rel=1e-12)


def test_of_losses_that_are_all_0_the_cheapest_are_chosen() -> None:
    assert least_loss([[0.0, 0.0], [0.0, 0.0]], [[2, 1], [3, 4]], 9) == (1, 0)
