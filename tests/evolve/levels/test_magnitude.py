from __future__ import annotations

import numpy as np
import pytest
import torch

from evolve.errors import GenomeError
from evolve.levels.magnitude import largest, magnitude
from tests.evolve.levels.layers import layer


@pytest.mark.parametrize("count", [0, 1, 17, 59, 60])
def test_the_smallest_go(count: int) -> None:
    weight = layer(5, 12)[0].bfloat16()
    found = magnitude(weight, count, torch.bfloat16)
    order = np.argsort(np.abs(weight.float().numpy()).ravel(), kind="stable")
    kept = np.ones(60, bool)
    kept[order[:count]] = False
    np.testing.assert_array_equal(found.kept.numpy().ravel(), kept)
    assert torch.equal(found.weight, weight * found.kept)
    assert found.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("count", range(0, 13, 3))
def test_of_equals_the_first_go(count: int) -> None:
    kept = largest(torch.tensor([[1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 2.0, 1.0], [0, 0, 0, 2]]), count)
    order = [1, 4, 8, 9, 10, 0, 2, 3, 5, 7, 6, 11]
    assert sorted((~kept).flatten().nonzero().flatten().tolist()) == sorted(order[:count])


@pytest.mark.parametrize("count", [-1, 9])
def test_counts_outside_the_matrix_are_refused(count: int) -> None:
    with pytest.raises(GenomeError, match="of 8 weights"):
        magnitude(torch.ones(2, 4), count, torch.float32)


def test_a_weight_that_is_no_number_is_refused() -> None:
    with pytest.raises(GenomeError, match="NaN or infinity"):
        magnitude(torch.full((2, 4), float("inf")), 1, torch.float32)
