from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.selection import das_dennis, neighbourhood, two_layer
from operators.selection.neighbourhood import neighbourhoods
from tests.oracles import decomposition

SETS = {
    "two": das_dennis(2, 30),
    "three": das_dennis(3, 9),
    "five": das_dennis(5, 3),
    "layers": two_layer(4, 3, 2),
    "random": torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(3), 60)),
    "equal": torch.full((12, 3), 1 / 3, dtype=torch.float64),
    "one": das_dennis(2, 1)[:1],
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("width", [1, 4, 11, 1000])
@pytest.mark.parametrize("tile", [1, 200, 1 << 19])
def test_equals_the_oracle(
    name: str, width: int, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbourhood, "_TILE", tile)
    weights = SETS[name]
    width = min(width, len(weights))
    expected = decomposition.neighbourhoods(weights.numpy(), width)
    assert neighbourhoods(weights, width).tolist() == expected


def test_shuffled_rows_have_the_same_neighbours() -> None:
    weights = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(3), 200))
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    there = neighbourhoods(weights[order], 9)
    assert torch.equal(order[there], neighbourhoods(weights, 9)[order])
