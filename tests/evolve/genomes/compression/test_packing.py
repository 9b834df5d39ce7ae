from __future__ import annotations

import numpy as np
import pytest
import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

from evolve.genomes.compression.level import Bits, Level, Zeros, stored_bytes
from evolve.genomes.compression.packing import (
    dense,
    dequantise,
    pack,
    pack_zeros,
    packed_bytes,
    parts,
    unpack,
    unpack_zeros,
)

BITS = range(2, 9)
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def codes(bits: int, rows: int, columns: int) -> torch.Tensor:
    top = 2 ** (bits - 1)
    generator = torch.Generator().manual_seed(bits)
    return torch.randint(-top, top, (rows, columns), generator=generator, dtype=torch.int8)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("columns", [32, 33, 96])
def test_codes_come_back(bits: int, columns: int) -> None:
    given = codes(bits, 5, columns)
    words = pack(given, bits)
    assert words.shape == (5, -(-columns * bits // 32))
    assert torch.equal(unpack(words, bits, columns), given)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", BITS)
def test_weights_are_the_bits_that_compressed_tensors_reloads(
    bits: int, dtype: torch.dtype
) -> None:
    given = codes(bits, 24, 96)
    scales = torch.rand(24, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = dense(Bits(bits, 32), {"codes": pack(given, bits), "scales": scales}, 96)
    weights = QuantizationArgs(num_bits=bits, group_size=32, strategy="group", symmetric=True)
    stored = {
        "weight_packed": pack(given, bits),
        "weight_scale": scales,
        "weight_shape": torch.tensor([24, 96]),
    }
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    reloaded = PackedQuantizationCompressor.decompress(stored, scheme)["weight"]
    assert found.dtype == reloaded.dtype == dtype
    assert torch.equal(found, reloaded)
    assert torch.equal(found, dequantise(given, scales))


@pytest.mark.parametrize("columns", [8, 13, 64])
def test_zeros_come_back_and_are_numpys_bits(columns: int) -> None:
    generator = torch.Generator().manual_seed(columns)
    weight = torch.randn(6, columns, generator=generator).bfloat16()
    keep = torch.rand(6, columns, generator=generator) > 0.4
    mask, kept = pack_zeros(weight, keep)
    assert np.array_equal(mask.numpy(), np.packbits(keep.numpy(), axis=1, bitorder="little"))
    assert torch.equal(kept, weight[keep])
    assert torch.equal(unpack_zeros(mask, kept, columns), weight * keep)


@pytest.mark.parametrize("keep", [True, False])
def test_all_or_nothing_may_be_kept(keep: bool) -> None:
    weight = torch.ones(3, 10)
    mask, kept = pack_zeros(weight, torch.full((3, 10), keep))
    assert torch.equal(unpack_zeros(mask, kept, 10), weight * keep)


@pytest.mark.parametrize("level", [Bits(3, 32), Bits(5, 16), Zeros(100), Zeros(0)])
def test_bytes_are_those_of_the_tensors(level: Level) -> None:
    assert isinstance(level, (Bits, Zeros))
    weight = torch.ones(12, 96, dtype=torch.bfloat16)
    if isinstance(level, Bits):
        scales = weight[:, : 96 // level.group].contiguous()
        found = dict(zip(parts(level), (pack(codes(level.bits, 12, 96), level.bits), scales)))
    else:
        keep = torch.arange(12 * 96).reshape(12, 96) >= level.count
        found = dict(zip(parts(level), pack_zeros(weight, keep)))
    size = sum(tensor.nbytes for tensor in found.values())
    assert packed_bytes(level, 12, 96, 2) == size
    assert size <= stored_bytes(level, 12, 96, 2) + 12 * 96 // 8
