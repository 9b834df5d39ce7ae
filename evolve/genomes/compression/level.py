"""What is done to one linear layer: nothing, fewer bits, or zeros. Knows sizes, no weights.

Bytes are those of compressed-tensors' `pack-quantized` format (0.20): codes packed without
padding between values, each row padded to 32 bits; one scale a group and row; the shape as two
int64. Quantization is symmetric, so there are no zero-points. Zeros make no file smaller.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from evolve.errors import GenomeError

SHAPE_BYTES = 16
_NAME = re.compile(r"b(?P<bits>\d+)g(?P<group>\d+)|z(?P<zeros>\d+)|dense")


@dataclass(frozen=True)
class Dense:
    """The weights as the checkpoint holds them."""

    @property
    def name(self) -> str:
        return "dense"


@dataclass(frozen=True)
class Bits:
    """Symmetric integers of `bits` bits, 2 to 8, one scale for `group` inputs of a row."""

    bits: int
    group: int

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8 or self.group < 1:
            raise GenomeError(
                f"Bits is {self.bits} bits in groups of {self.group}; give 2 to 8 bits and a "
                "group of 1 or more."
            )

    @property
    def name(self) -> str:
        return f"b{self.bits}g{self.group}"


@dataclass(frozen=True)
class Zeros:
    """Unstructured sparsity: `count` of the layer's weights are zero."""

    count: int

    def __post_init__(self) -> None:
        if self.count < 0:
            raise GenomeError(f"Zeros is {self.count}; give 0 or more weights.")

    @property
    def name(self) -> str:
        return f"z{self.count}"


Level: TypeAlias = Dense | Bits | Zeros


def level_of(name: str) -> Level:
    """The level called `name`: dense, b3g64 (bits, group) or z1000 (zeros)."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise GenomeError(f"There is no level {name!r}; give dense, b3g64 or z1000, say.")
    if found["bits"]:
        return Bits(int(found["bits"]), int(found["group"]))
    return Zeros(int(found["zeros"])) if found["zeros"] else Dense()


def stored_bytes(level: Level, rows: int, columns: int, itemsize: int) -> int:
    """Bytes of a (rows, columns) weight at `level`; `itemsize` of the checkpoint's dtype."""
    if isinstance(level, Bits):
        words = -(-columns * level.bits // 32)
        return rows * (4 * words + itemsize * (columns // level.group)) + SHAPE_BYTES
    return rows * columns * itemsize
