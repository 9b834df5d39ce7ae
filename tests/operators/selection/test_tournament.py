from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.selection import Tournament
from tests.contracts.mating import MatingContract


class TestContract(MatingContract):
    def mating(self) -> Tournament:
        return Tournament()


class TestContractOfOneObjective(MatingContract):
    n_objectives = 1

    def mating(self) -> Tournament:
        return Tournament(size=3)


def shares(size: int, costs: torch.Tensor) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    parents = Tournament(size)(costs, None, 20_000, generator=generator)
    return np.bincount(parents.numpy(), minlength=len(costs)) / 20_000


def test_the_odds_of_a_tournament() -> None:
    ladder = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    assert np.allclose(shares(1, ladder), 0.25, atol=0.02)
    assert np.allclose(shares(2, ladder), [7 / 16, 5 / 16, 3 / 16, 1 / 16], atol=0.02)
    # of several draws the least: P(best > i) = ((3 - i) / 4)^size
    assert shares(5, ladder)[0] == pytest.approx(1 - 0.75**5, abs=0.02)


def test_equals_win_equally() -> None:
    front = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [5.0, 5.0]])
    assert np.allclose(shares(2, front), [5 / 16, 5 / 16, 5 / 16, 1 / 16], atol=0.02)


def test_a_broken_row_seldom_mates() -> None:
    costs = torch.tensor([[torch.nan, 0.0], [1.0, 1.0]])
    assert shares(2, costs)[0] == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("size", [0, -1, True, 2.5])
def test_refuses_a_size(size: int) -> None:
    with pytest.raises(ValueError, match="size"):
        Tournament(size)
