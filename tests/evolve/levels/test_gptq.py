from __future__ import annotations

import numpy as np
import pytest
import torch

from evolve.errors import GenomeError
from evolve.levels.gptq import gptq
from evolve.levels.hessian import factored, output_error
from evolve.levels.quantise import FITTED, FULL, nearest
from tests.evolve.levels.layers import layer
from tests.oracles import columns

# groups that are small, do not divide a block, span blocks (of 128), are the whole row
SHAPES = [(6, 32, 8), (6, 36, 12), (1, 32, 8), (3, 320, 160), (4, 24, 24), (2, 8, 1)]

NO_TIE = (0.97,)  # at 1 the largest weight lies half-way between two codes, up to rounding


@pytest.mark.parametrize(("rows", "n", "group"), SHAPES)
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("multiples", [NO_TIE, FITTED], ids=["one", "fitted"])
def test_equals_the_oracle(
    rows: int, n: int, group: int, bits: int, multiples: tuple[float, ...]
) -> None:
    weight, hessian = layer(rows, n)
    found = gptq(weight, factored(hessian, 0.01), bits, group, torch.float32, multiples)
    damped = columns.damped(hessian.numpy(), 0.01)
    codes, scales = columns.gptq(weight.numpy(), damped, bits, group, multiples)
    np.testing.assert_array_equal(found.codes.numpy(), codes)
    np.testing.assert_allclose(found.scales.numpy(), scales, rtol=1e-4)


def test_equals_the_oracle_in_half_precision() -> None:
    weight, hessian = layer(6, 32)
    found = gptq(weight, factored(hessian), 3, 8, torch.float16, FULL)
    damped = columns.damped(hessian.numpy(), 0.01)
    codes, scales = columns.gptq(weight.numpy(), damped, 3, 8, FULL, np.float16)
    np.testing.assert_array_equal(found.codes.numpy(), codes)
    np.testing.assert_array_equal(found.scales.numpy(), scales.astype(np.float16))


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_errs_less_than_rounding(bits: int) -> None:
    for seed in range(4):
        weight, hessian = layer(32, 64, seed)
        weight, factor = weight.bfloat16(), factored(hessian)

        def error(changed: torch.Tensor, w: torch.Tensor = weight, h: torch.Tensor = hessian):  # type: ignore[no-untyped-def]
            return output_error(w, changed, h)

        plain = error(gptq(weight, factor, bits, 16, torch.bfloat16, FULL).weight())
        fitted = error(gptq(weight, factor, bits, 16, torch.bfloat16).weight())
        assert plain < error(nearest(weight, bits, 16, torch.bfloat16).weight())
        assert fitted < 1.02 * plain


def test_without_correlation_it_is_rounding() -> None:
    weight, _ = layer(8, 32)
    found = gptq(weight, factored(torch.eye(32)), 4, 8, torch.bfloat16, FULL)
    plain = nearest(weight, 4, 8, torch.bfloat16)
    assert torch.equal(found.codes, plain.codes)
    assert torch.equal(found.scales, plain.scales)


def test_dead_columns_are_rounded_and_change_nothing() -> None:
    weight, hessian = layer(8, 32)
    hessian[5], hessian[:, 5] = 0, 0
    found = gptq(weight, factored(hessian), 4, 1, torch.float32, FULL)
    assert torch.equal(found.codes[:, 5], nearest(weight, 4, 1, torch.float32).codes[:, 5])
    other = weight.clone()
    other[:, 5] = 0
    codes = gptq(other, factored(hessian), 4, 1, torch.float32, FULL).codes
    codes[:, 5] = found.codes[:, 5]
    assert torch.equal(found.codes, codes)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_two_bits_of_a_rank_one_hessian_are_finite(dtype: torch.dtype) -> None:
    weight, hessian = layer(8, 64)
    spike = hessian[:1].T @ hessian[:1] * 1e6
    found = gptq(weight.to(dtype), factored(spike), 2, 64, dtype)
    assert found.weight().isfinite().all()
    assert int(found.codes.min()) >= -2
    assert int(found.codes.max()) <= 1


def test_same_bits_again_and_the_arguments_stay() -> None:
    weight, hessian = layer(16, 64)
    factor, before = factored(hessian), weight.clone()
    first, second = (gptq(weight, factor, 3, 16, torch.bfloat16) for _ in range(2))
    assert torch.equal(first.codes, second.codes)
    assert torch.equal(first.scales, second.scales)
    assert torch.equal(weight, before)


def test_a_factor_of_another_layer_is_refused() -> None:
    with pytest.raises(GenomeError, match="has 8 columns, the weight 16"):
        gptq(torch.ones(2, 16), factored(torch.eye(8)), 4, 8, torch.float32)


@pytest.mark.gpu
def test_the_gpu_errs_as_the_cpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("NO GPU: GPTQ on CUDA was not compared with the CPU")
    weight, hessian = layer(64, 256)
    here = gptq(weight, factored(hessian), 3, 64, torch.bfloat16)
    there, again = (
        gptq(weight.cuda(), factored(hessian.cuda()), 3, 64, torch.bfloat16) for _ in range(2)
    )
    assert torch.equal(there.codes, again.codes)
    error = output_error(weight, there.weight().cpu(), hessian)
    assert error == pytest.approx(output_error(weight, here.weight(), hessian), rel=0.05)
