from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.selection.inspiration import Inspired
from tests.contracts.mating import MatingContract


class TestContract(MatingContract):
    def mating(self) -> Inspired:
        return Inspired()


class TestContractOfOneObjective(MatingContract):
    n_objectives = 1

    def mating(self) -> Inspired:
        return Inspired(size=3)


def chosen(costs: torch.Tensor, n_parents: int, seed: int = 0, size: int = 2) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    rows: list[int] = Inspired(size)(costs, None, n_parents, generator=generator).tolist()
    return rows


@pytest.mark.parametrize("n_parents", [3, 7, 20, 30])
def test_no_row_twice_while_some_are_left(n_parents: int) -> None:
    costs = torch.from_numpy(np.random.default_rng(0).random((20, 3)))
    rows = chosen(costs, n_parents)
    assert len(set(rows)) == min(n_parents, 20)


def test_the_first_wins_a_tournament_as_fronts_say() -> None:
    ladder = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    first = [chosen(ladder, 1, seed)[0] for seed in range(600)]
    assert np.allclose(np.bincount(first) / 600, [7 / 16, 5 / 16, 3 / 16, 1 / 16], atol=0.07)


def test_best_and_farthest_take_turns() -> None:
    """One objective, and a tournament so large that the best wins it."""
    costs = torch.tensor([[0.0], [1.0], [2.0], [3.0], [10.0], [5.9]])
    # the best; the next best; farthest from 0 and 1; the best left; farthest from 0, 1, 10, 2
    assert chosen(costs, 6, size=200) == [0, 1, 4, 2, 5, 3]


def test_distance_is_taken_in_ranges_not_in_units() -> None:
    """Of the last two, the first is farther in ranges, the second in units."""
    costs = torch.tensor([[0.0, 0.0], [0.0, 10.0], [1.0, 500.0], [0.2, 1000.0]])
    assert chosen(costs, 3, size=200) == [0, 1, 2]


def test_equals_are_drawn_at_random() -> None:
    front = torch.tensor([[0.0, 3.0], [1.0, 2.0], [2.0, 1.0], [3.0, 0.0]])
    assert {chosen(front, 2, seed)[1] for seed in range(60)} == {0, 1, 2, 3}


def test_a_broken_row_inspires_last() -> None:
    costs = torch.tensor([[torch.inf, 0.0], [0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
    for seed in range(20):
        rows = chosen(costs, 4, seed, size=50)
        assert rows[3] == 0


@pytest.mark.parametrize("size", [0, True, 1.5])
def test_refuses_a_size(size: int) -> None:
    with pytest.raises(ValueError, match="Inspired got size"):
        Inspired(size)
