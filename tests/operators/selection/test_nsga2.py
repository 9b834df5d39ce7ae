from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.selection import NSGA2, fronts
from operators.selection.nsga2 import crowding
from tests.contracts.selection import SelectionContract, seeded
from tests.operators.selection.loop import evolved


class TestContract(SelectionContract):
    def selection(self) -> NSGA2:
        return NSGA2()


def crowding_oracle(costs: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Deb et al. 2002, sec. III-B, as printed; a constant objective adds nothing."""
    distance = np.zeros(len(costs))
    for front in np.unique(rank):
        rows = np.flatnonzero(rank == front)
        for j in range(costs.shape[1]):
            by_cost = rows[np.argsort(costs[rows, j], kind="stable")]
            low, high = costs[by_cost[0], j], costs[by_cost[-1], j]
            if low == high:
                continue
            distance[by_cost[0]] = distance[by_cost[-1]] = np.inf
            for i in range(1, len(by_cost) - 1):
                gap = costs[by_cost[i + 1], j] - costs[by_cost[i - 1], j]
                distance[by_cost[i]] += gap / (high - low)
    return distance


@pytest.mark.parametrize("seed", range(20))
def test_crowding_equals_the_paper(seed: int) -> None:
    random = np.random.default_rng(seed)
    costs = random.integers(0, 12, (60, 1 + seed % 4)) / 3.0
    rank = fronts(torch.from_numpy(costs))
    found = crowding(torch.from_numpy(costs), rank).numpy()
    assert np.allclose(found, crowding_oracle(costs, rank.numpy()))


def test_the_lonely_survive() -> None:
    costs = torch.tensor([[0.0, 10.0], [1.0, 9.0], [1.1, 8.9], [5.0, 5.0], [10.0, 0.0]])
    best_first = NSGA2()(costs, 4, generator=seeded()).indices.tolist()
    assert sorted(best_first[:2]) == [0, 4]
    assert best_first[2:] == [3, 2]


def test_fronts_before_crowding() -> None:
    costs = torch.tensor([[1.0, 1.0], [0.0, 3.0], [3.0, 0.0], [9.0, 9.0]])
    assert sorted(NSGA2()(costs, 3, generator=seeded()).indices.tolist()) == [0, 1, 2]


def test_remembers_nothing() -> None:
    assert NSGA2()(torch.rand(4, 2), 2, state="what", generator=seeded()).state is None
    assert NSGA2() == NSGA2()


def test_crowding_of_no_rows() -> None:
    assert crowding(torch.zeros((0, 2)), torch.zeros(0, dtype=torch.int64)).tolist() == []


def test_reaches_the_front_of_dtlz2() -> None:
    costs = evolved(NSGA2(), m=2, n=40, generations=120, seed=0)
    assert np.abs(np.linalg.norm(costs, axis=1) - 1).max() < 0.02
    angle = np.sort(np.arctan2(costs[:, 1], costs[:, 0]))
    assert np.diff(angle).max() < 0.12  # of 1.57, by 40 rows
    assert angle[0] < 0.02
    assert angle[-1] > 1.55


def test_refuses_one_objective() -> None:
    with pytest.raises(ValueError, match=r"Truncation\(\)"):
        NSGA2()(torch.zeros((4, 1)), 2, generator=seeded())
