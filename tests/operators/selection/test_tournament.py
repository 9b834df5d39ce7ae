from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.selection import Balanced, Tournament
from tests.contracts.mating import MatingContract
from tests.contracts.selection import seeded


class TestContract(MatingContract):
    def mating(self) -> Tournament:
        return Tournament()


class TestContractOfOneObjective(MatingContract):
    n_objectives = 1

    def mating(self) -> Tournament:
        return Tournament(size=3)


class TestContractOfBalanced(MatingContract):
    def mating(self) -> Balanced:
        return Balanced()


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


def test_balance_is_the_sum_of_scaled_costs() -> None:
    """Ranges 1 and 1000: unscaled, the second cost alone would decide."""
    costs = torch.tensor([[0.0, 1000.0], [1.0, 0.0], [0.4, 450.0], [torch.nan, 0.0]])
    generator = torch.Generator().manual_seed(0)
    parents = Balanced(2)(costs, None, 20_000, generator=generator)
    share = np.bincount(parents.numpy(), minlength=4) / 20_000
    # the third wins all its tournaments: 7/16; the first two are equal, the last loses to all
    assert np.allclose(share, [4 / 16, 4 / 16, 7 / 16, 1 / 16], atol=0.02)


def test_balance_of_broken_rows_alone_still_draws() -> None:
    costs = torch.full((3, 2), torch.inf)
    parents = Balanced()(costs, None, 50, generator=torch.Generator().manual_seed(0))
    assert set(parents.tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("size", [0, True, 1.5])
def test_balanced_refuses_a_size(size: int) -> None:
    with pytest.raises(ValueError, match="Balanced got size"):
        Balanced(size)


def test_a_range_beyond_the_largest_float_hides_nobody() -> None:
    costs = torch.tensor([[1.7e308, 0.0], [-1.7e308, 0.0], [0.0, 5.0]], dtype=torch.float64)
    for scale in (1.0, 1e-308):
        rows = Balanced(size=64)(costs * scale, None, 5, generator=seeded())
        assert rows.tolist() == [1] * 5
