from __future__ import annotations

import numpy as np
import pytest
import torch

from evolve.errors import GenomeError
from evolve.levels.hessian import output_error
from evolve.levels.quantise import FITTED, FULL, nearest
from tests.evolve.levels.layers import layer
from tests.oracles.columns import rounded, scale_of


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("multiples", [FULL, FITTED], ids=["full", "fitted"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_equals_the_oracle(bits: int, multiples: tuple[float, ...], dtype: type) -> None:
    weight, hessian = layer(5, 12, bits)
    importance = hessian.diagonal()
    kind = torch.float32 if dtype is np.float32 else torch.float16
    found = nearest(weight, bits, 4, kind, multiples, importance)
    for i, row in enumerate(weight.double().numpy()):
        for k in range(3):
            part = slice(4 * k, 4 * k + 4)
            scale = scale_of(row[part], importance.numpy()[part], bits, multiples, dtype)
            assert float(found.scales[i, k]) == pytest.approx(scale, rel=1e-6)
            codes = [rounded(w, float(found.scales[i, k]), bits) for w in row[part]]
            assert found.codes[i, part].tolist() == codes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("bits", range(2, 9))
def test_reads_back_the_bits_of_compressed_tensors(bits: int, dtype: torch.dtype) -> None:
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import dequantize

    found = nearest(layer(7, 24)[0].to(dtype), bits, 8, dtype)
    args = QuantizationArgs(num_bits=bits, strategy="group", group_size=8, symmetric=True)
    theirs = dequantize(found.codes, found.scales, args=args)
    assert found.weight().dtype == theirs.dtype == dtype
    assert torch.equal(found.weight(), theirs)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_chosen_scales_err_less(bits: int) -> None:
    weight, hessian = layer(32, 64)

    def error(multiples: tuple[float, ...], importance: torch.Tensor | None = None) -> float:
        found = nearest(weight, bits, 16, torch.bfloat16, multiples, importance)
        return float((found.weight() - weight).square().sum())

    assert error(FITTED) < error(FULL)
    full = nearest(weight, bits, 16, torch.bfloat16)
    fitted = nearest(weight, bits, 16, torch.bfloat16, FITTED, hessian.diagonal())
    diagonal = hessian.diagonal().diag()
    assert output_error(weight, fitted.weight(), diagonal) < output_error(
        weight, full.weight(), diagonal
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_zeros_and_the_smallest_weights_are_no_trouble(dtype: torch.dtype) -> None:
    weight = torch.zeros(2, 8)
    weight[1] = 1e-30
    for multiples in (FULL, FITTED):
        found = nearest(weight, 2, 4, dtype, multiples)
        assert (found.scales > 0).all()
        assert not found.codes[0].any()
        assert found.weight().isfinite().all()


@pytest.mark.parametrize(
    ("bits", "group", "text"),
    [(1, 4, "give 2 to 8"), (9, 4, "give 2 to 8"), (4, 5, "do not divide 12"), (4, 0, "divisor")],
)
def test_what_no_grid_holds_is_refused(bits: int, group: int, text: str) -> None:
    with pytest.raises(GenomeError, match=text):
        nearest(torch.ones(2, 12), bits, group, torch.float32)


def test_a_weight_that_is_no_number_is_refused() -> None:
    with pytest.raises(GenomeError, match="NaN or infinity"):
        nearest(torch.full((2, 4), float("nan")), 4, 4, torch.float32)
