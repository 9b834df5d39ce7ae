"""The codec of levels: a level's tensors as a file holds them, and the weights that they mean.

Integers are packed and multiplied by their scales as compressed-tensors does (0.20,
`pack-quantized`): a reloaded export has the same bits. Knows no solver and no file. Every
function works on the device of its tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from evolve.genomes.compression.level import Bits, Zeros

if TYPE_CHECKING:
    import torch

CODES, SCALES = "codes", "scales"  # of Bits
MASK, KEPT = "mask", "kept"  # of Zeros


def parts(level: Bits | Zeros) -> tuple[str, str]:
    """What the tensors of `level` are called."""
    return (CODES, SCALES) if isinstance(level, Bits) else (MASK, KEPT)


def packed_bytes(level: Bits | Zeros, rows: int, columns: int, itemsize: int) -> int:
    """Bytes of what a database holds of a (rows, columns) weight at `level`."""
    if isinstance(level, Bits):
        return rows * (4 * -(-columns * level.bits // 32) + itemsize * (columns // level.group))
    return rows * -(-columns // 8) + (rows * columns - level.count) * itemsize


def dense(level: Bits | Zeros, packed: Mapping[str, torch.Tensor], columns: int) -> torch.Tensor:
    """(rows, `columns`) weights that `packed`, by the names of `parts`, means at `level`."""
    if isinstance(level, Zeros):
        return unpack_zeros(packed[MASK], packed[KEPT], columns)
    return dequantise(unpack(packed[CODES], level.bits, columns), packed[SCALES])


def pack(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """(r, w) int32: `codes` (r, c) int8 in -2^(bits-1) .. 2^(bits-1)-1, w = ceil(c bits / 32)."""
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

    packed: torch.Tensor = pack_to_int32(codes, bits)
    return packed


def unpack(words: torch.Tensor, bits: int, columns: int) -> torch.Tensor:
    """(r, `columns`) int8: what `pack` was given.

    Eight codes are `bits` bytes, lowest first, read as one integer: a fifth of the time that
    compressed-tensors' own takes, which an evaluation would spend on each layer and level.
    """
    import torch
    from torch.nn.functional import pad

    raw = words.contiguous().view(torch.uint8)
    raw = pad(raw, (0, -raw.shape[1] % bits)).reshape(-1, bits)
    eight = pad(raw, (0, 8 - bits)).view(torch.int64)
    shifts = torch.arange(0, 8 * bits, bits, device=words.device)
    codes = (eight >> shifts).bitwise_and_(2**bits - 1).sub_(2 ** (bits - 1)).to(torch.int8)
    return codes.view(len(words), -1)[:, :columns]


def dequantise(codes: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """(r, c) weights in the dtype of `scales` (r, c / group); `codes` (r, c) int8.

    The product is taken in that dtype, rounded once: compressed-tensors' own on reload.
    """
    rows, groups = scales.shape
    grouped = codes.reshape(rows, groups, -1).to(scales.dtype)
    return (grouped * scales[:, :, None]).reshape(codes.shape)


def pack_zeros(weight: torch.Tensor, keep: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`weight` (r, c) where `keep` (r, c) bool: a mask (r, ceil(c / 8)) uint8, and the kept (k,).

    Bits from the lowest of each byte up (numpy's packbits, little); the kept row by row.
    """
    import torch
    from torch.nn.functional import pad

    bits = pad(keep.to(torch.uint8), (0, -keep.shape[1] % 8)).reshape(len(keep), -1, 8)
    mask = (bits << _eight(keep)).sum(dim=2, dtype=torch.uint8)
    return mask, weight[keep]


def unpack_zeros(mask: torch.Tensor, kept: torch.Tensor, columns: int) -> torch.Tensor:
    """(r, `columns`) in the dtype of `kept`: what `pack_zeros` was given, zero elsewhere."""
    bits = (mask[:, :, None] >> _eight(mask)) & 1
    keep = bits.reshape(len(mask), -1)[:, :columns].bool()
    weight = kept.new_zeros(keep.shape)
    weight[keep] = kept
    return weight


def _eight(like: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.arange(8, dtype=torch.uint8, device=like.device)
