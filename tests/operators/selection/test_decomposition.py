from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from operators.selection.decomposition import PBI, Decomposition, summed, tchebycheff
from tests.oracles import decomposition


@pytest.mark.parametrize("m", [2, 3, 8])
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_equal_the_oracles(m: int, scale: float) -> None:
    random = np.random.default_rng(0)
    away, weights = random.random((50, m)), random.dirichlet(np.ones(m), 50)
    away[0], weights[1] = 0.0, np.eye(m)[0]
    rows = list(zip(away.tolist(), weights.tolist()))
    large, w = torch.from_numpy(away * scale), torch.from_numpy(weights)
    expected = [decomposition.tchebycheff(*row) for row in rows]
    np.testing.assert_allclose(tchebycheff(large, w) / scale, expected, rtol=1e-12)
    expected = [decomposition.pbi(*row, theta=3.0) for row in rows]
    np.testing.assert_allclose(PBI(3.0)(large, w) / scale, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("decompose", [tchebycheff, PBI()])
def test_broadcast_and_pickle(decompose: Decomposition) -> None:
    random = np.random.default_rng(0)
    away, weights = (
        torch.from_numpy(random.random((7, 1, 3))),
        torch.from_numpy(random.dirichlet(np.ones(3), (7, 5))),
    )
    value = pickle.loads(pickle.dumps(decompose))(away, weights)
    assert value.shape == (7, 5)
    assert torch.equal(value[3, 4], decompose(away[3, 0], weights[3, 4]))


def test_pbi_is_least_on_its_line() -> None:
    weight = torch.tensor([0.2, 0.8], dtype=torch.float64)
    angle = torch.linspace(0, torch.pi / 2, 1001, dtype=torch.float64)
    front = torch.stack([angle.cos(), angle.sin()], 1)
    best = front[PBI()(front, weight).argmin()]
    torch.testing.assert_close(best / best.sum(), weight, atol=1e-3, rtol=0.0)


def test_summed_goes_from_left_to_right() -> None:
    products = torch.tensor([[1e16, 1.0, -1e16]], dtype=torch.float64)
    assert summed(products).tolist() == [0.0]
