from __future__ import annotations

import pytest
import torch

from operators.selection import Truncation
from tests.contracts.selection import SelectionContract, seeded


class TestContract(SelectionContract):
    n_objectives = 1

    def selection(self) -> Truncation:
        return Truncation()


def test_the_least_costs_in_order() -> None:
    costs = torch.tensor([[3.0], [1.0], [torch.nan], [2.0], [0.5]])
    assert Truncation()(costs, 3, generator=seeded()).indices.tolist() == [4, 1, 3]


def test_ties_are_drawn_at_random() -> None:
    costs = torch.tensor([[1.0], [0.0], [1.0]])
    drawn = {
        tuple(Truncation()(costs, 2, generator=seeded(s)).indices.tolist()) for s in range(20)
    }
    assert drawn == {(1, 0), (1, 2)}


def test_refuses_several_objectives() -> None:
    with pytest.raises(ValueError, match=r"NSGA2\(\)"):
        Truncation()(torch.zeros((4, 2)), 2, generator=seeded())
