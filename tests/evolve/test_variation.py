"""The contracts themselves: what ships meets them, what does not is told apart."""

from __future__ import annotations

import torch

from evolve.variation import Mating, Selection
from operators.selection import NSGA2, NSGA3, Tournament, Truncation, das_dennis


def test_what_ships_meets_the_contracts() -> None:
    for selection in (NSGA2(), NSGA3(das_dennis(2, 4)), Truncation()):
        assert isinstance(selection, Selection)
    assert isinstance(Tournament(), Mating)


def test_a_selection_returns_indices_and_state() -> None:
    costs = torch.tensor([[3.0], [1.0], [2.0]])
    found = Truncation()(costs, 2, generator=torch.Generator().manual_seed(0))
    assert found.indices.tolist() == [1, 2]
    assert found.state is None


def test_a_value_is_neither() -> None:
    assert not isinstance(3, Selection)
    assert not isinstance("nsga3", Mating)
