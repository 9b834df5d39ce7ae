from __future__ import annotations

import numpy as np
import pytest
import torch

from evolve.errors import GenomeError
from evolve.levels.hessian import add_, factored, output_error
from tests.evolve.levels.layers import layer
from tests.oracles.columns import damped


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_sum_of_batches_is_that_of_all_tokens(dtype: torch.dtype) -> None:
    batches = [torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    batches = [batch.to(dtype) for batch in batches]
    total = torch.zeros(5, 5, dtype=torch.float64)
    assert sum(add_(total, batch) for batch in batches) == 42
    tokens = torch.cat(batches).double().numpy().reshape(-1, 5)
    np.testing.assert_allclose(total.numpy(), tokens.T @ tokens, rtol=1e-5, atol=1e-5)


def test_a_sum_of_another_width_is_refused() -> None:
    with pytest.raises(GenomeError, match="Inputs have 5 columns"):
        add_(torch.zeros(4, 4), torch.zeros(3, 5))


@pytest.mark.parametrize("damping", [0.01, 0.0, 1.0])
def test_the_factor_is_that_of_the_inverse(damping: float) -> None:
    _, hessian = layer(1, 24)
    factor = factored(hessian, damping)
    expected = np.linalg.cholesky(np.linalg.inv(damped(hessian.numpy(), damping)))
    np.testing.assert_allclose(factor.lower.numpy(), expected, rtol=1e-4, atol=1e-6)
    assert factor.lower.dtype == torch.float32
    assert factor.damping == damping


def test_the_argument_stays_as_it_was() -> None:
    _, hessian = layer(1, 8)
    before = hessian.clone()
    factored(hessian)
    assert torch.equal(hessian, before)


def test_a_dead_column_gives_and_takes_nothing() -> None:
    _, hessian = layer(1, 8)
    hessian[3], hessian[:, 3] = 0, 0
    lower = factored(hessian).lower
    beside = lower.clone()
    beside[3, 3] = 0
    assert lower[3, 3] > 0
    assert not beside[3].any()
    assert not beside[:, 3].any()


def test_dead_inputs_alone_give_the_identity() -> None:
    assert torch.equal(factored(torch.zeros(4, 4)).lower, torch.eye(4))


def test_too_few_tokens_without_damping_get_some() -> None:
    inputs = torch.randn(3, 16, generator=torch.Generator().manual_seed(0)).double()
    indefinite = inputs.T @ inputs - 1e-6 * torch.eye(16)  # singular, and rounded the wrong way
    factor = factored(indefinite, 0.0)
    assert factor.damping == 0.01
    assert factor.lower.isfinite().all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_inputs_that_are_no_numbers_are_refused(bad: float) -> None:
    hessian = torch.eye(4)
    hessian[1, 2] = bad
    with pytest.raises(GenomeError, match="NaN or infinity"):
        factored(hessian)


def test_what_is_no_second_moment_is_refused() -> None:
    with pytest.raises(GenomeError, match="even with 10 of its mean diagonal"):
        factored(torch.diag(torch.tensor([1.0, 1.0, 1.0, -50.0, 60.0])))
    with pytest.raises(GenomeError, match=r"give \(columns, columns\)"):
        factored(torch.zeros(3, 4))


def test_a_factor_of_another_layer_is_refused() -> None:
    with pytest.raises(GenomeError, match="has 8 columns, the weight 4"):
        factored(torch.eye(8)).check(torch.zeros(2, 4))


def test_the_error_is_that_of_the_outputs() -> None:
    random = np.random.default_rng(0)
    inputs, weight = random.normal(size=(50, 6)), random.normal(size=(4, 6))
    changed = weight + random.normal(size=(4, 6))
    expected = np.mean(np.sum((inputs @ weight.T - inputs @ changed.T) ** 2, axis=1))
    hessian = torch.from_numpy(inputs.T @ inputs / 50)
    found = output_error(torch.from_numpy(weight), torch.from_numpy(changed), hessian)
    assert found == pytest.approx(expected)
