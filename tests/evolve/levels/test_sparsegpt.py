from __future__ import annotations

import numpy as np
import pytest
import torch

from evolve.errors import GenomeError
from evolve.levels.hessian import factored, output_error
from evolve.levels.magnitude import magnitude
from evolve.levels.sparsegpt import sparsegpt
from tests.evolve.levels.layers import layer
from tests.oracles import columns


@pytest.mark.parametrize(
    ("rows", "n", "block"), [(6, 32, 8), (5, 30, 8), (1, 32, 16), (4, 24, 128)]
)
@pytest.mark.parametrize("share", [0.0, 0.13, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("ranked", [True, False])
def test_equals_the_oracle(rows: int, n: int, block: int, share: float, ranked: bool) -> None:
    weight, hessian = layer(rows, n)
    count = int(share * weight.numel())
    found = sparsegpt(weight, factored(hessian), count, torch.float32, block, ranked)
    damped = columns.damped(hessian.numpy(), 0.01)
    expected = columns.sparsegpt(weight.numpy(), damped, count, block, ranked)
    np.testing.assert_array_equal(found.kept.numpy(), expected != 0)
    np.testing.assert_allclose(found.weight.numpy(), expected, rtol=1e-3, atol=1e-4)


def test_equals_the_oracle_in_half_precision() -> None:
    weight, hessian = layer(6, 32)
    found = sparsegpt(weight, factored(hessian), 96, torch.float16)
    damped = columns.damped(hessian.numpy(), 0.01)
    expected = columns.sparsegpt(weight.numpy(), damped, 96, 32, True, np.float16)
    np.testing.assert_allclose(found.weight.double().numpy(), expected, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("ranked", [True, False])
def test_the_count_is_exact(ranked: bool) -> None:
    weight, hessian = layer(7, 41)
    factor = factored(hessian)
    for count in (0, 1, 2, 40, 100, 143, 286, 287):
        found = sparsegpt(weight, factor, count, torch.bfloat16, 10, ranked)
        assert int((~found.kept).sum()) == count
        assert not found.weight[~found.kept].any()
        assert found.weight.dtype == torch.bfloat16


def test_errs_less_than_by_magnitude_and_better_with_ranks() -> None:
    for seed in range(4):
        weight, hessian = layer(32, 128, seed)
        factor = factored(hessian)
        for count in (1200, 2048, 2900):
            plain, published, ours = (
                output_error(weight, each.weight, hessian)
                for each in (
                    magnitude(weight, count, torch.float32),
                    sparsegpt(weight, factor, count, torch.float32, 128, ranked=False),
                    sparsegpt(weight, factor, count, torch.float32),
                )
            )
            assert ours < published < plain


def test_dead_columns_go_first() -> None:
    weight, hessian = layer(8, 32)
    hessian[[3, 20]], hessian[:, [3, 20]] = 0, 0
    found = sparsegpt(weight, factored(hessian), 16, torch.float32, ranked=True)
    assert not found.kept[:, [3, 20]].any()
    assert torch.equal(found.weight.bool(), found.kept)


def test_without_correlation_it_is_magnitude() -> None:
    weight, _ = layer(8, 64)
    found = sparsegpt(weight, factored(torch.eye(64)), 200, torch.float32)
    assert torch.equal(found.weight, magnitude(weight, 200, torch.float32).weight)


def test_same_bits_again_and_the_arguments_stay() -> None:
    weight, hessian = layer(16, 64)
    factor, before = factored(hessian), weight.clone()
    first, second = (sparsegpt(weight, factor, 500, torch.bfloat16) for _ in range(2))
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(weight, before)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(GenomeError, match="has 8 columns, the weight 16"):
        sparsegpt(torch.ones(2, 16), factored(torch.eye(8)), 4, torch.float32)
    with pytest.raises(GenomeError, match="33 zeros were asked for of 32"):
        sparsegpt(torch.ones(2, 16), factored(torch.eye(16)), 33, torch.float32)


@pytest.mark.gpu
def test_the_gpu_errs_as_the_cpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("NO GPU: SparseGPT on CUDA was not compared with the CPU")
    weight, hessian = layer(64, 256)
    here = sparsegpt(weight, factored(hessian), 8192, torch.bfloat16)
    there, again = (
        sparsegpt(weight.cuda(), factored(hessian.cuda()), 8192, torch.bfloat16) for _ in range(2)
    )
    assert torch.equal(there.weight, again.weight)
    error = output_error(weight, there.weight.cpu(), hessian)
    assert error == pytest.approx(output_error(weight, here.weight, hessian), rel=0.05)
