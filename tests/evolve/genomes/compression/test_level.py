from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evolve.errors import GenomeError
from evolve.genomes.compression.level import (
    SHAPE_BYTES,
    Bits,
    Dense,
    Level,
    Zeros,
    level_of,
    stored_bytes,
)

LEVELS = st.one_of(
    st.just(Dense()),
    st.builds(Bits, st.integers(2, 8), st.integers(1, 512)),
    st.builds(Zeros, st.integers(0, 10**12)),
)


@given(LEVELS)
def test_a_name_gives_the_level_back(level: Level) -> None:
    assert level_of(level.name) == level


@pytest.mark.parametrize("name", ["", "b3", "b3g64x", "z-1", "Dense", "g64b3", "b3g64\n"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(GenomeError, match="There is no level"):
        level_of(name)


@pytest.mark.parametrize(("bits", "group"), [(1, 64), (9, 64), (0, 64), (4, 0), (4, -1)])
def test_bits_that_no_file_holds_are_refused(bits: int, group: int) -> None:
    with pytest.raises(GenomeError, match="2 to 8 bits"):
        Bits(bits, group)


def test_fewer_than_no_zeros_are_refused() -> None:
    with pytest.raises(GenomeError, match="0 or more"):
        Zeros(-1)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize(("rows", "columns", "group"), [(5, 96, 32), (3, 40, 20), (1, 7, 7)])
def test_bytes_are_those_of_compressed_tensors(
    bits: int, rows: int, columns: int, group: int
) -> None:
    from compressed_tensors.compressors import PackedQuantizationCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    args = QuantizationArgs(num_bits=bits, strategy="group", group_size=group, symmetric=True)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    state = {
        "weight": torch.randn(rows, columns, dtype=torch.bfloat16),
        "weight_scale": torch.ones(rows, columns // group, dtype=torch.bfloat16),
    }
    compressed = PackedQuantizationCompressor.compress(state, scheme)
    held = sum(tensor.nbytes for tensor in compressed.values())
    assert sorted(compressed) == ["weight_packed", "weight_scale", "weight_shape"]
    assert compressed["weight_shape"].nbytes == SHAPE_BYTES
    assert stored_bytes(Bits(bits, group), rows, columns, 2) == held


@pytest.mark.parametrize("itemsize", [2, 4])
def test_zeros_make_no_file_smaller(itemsize: int) -> None:
    dense = stored_bytes(Dense(), 6, 10, itemsize)
    assert dense == stored_bytes(Zeros(59), 6, 10, itemsize) == 60 * itemsize
