"""Real vectors in a box, and what every vector-like genome shares. Knows no operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import numpy as np

from evolve.errors import GenomeError
from evolve.genome import Genome, Packed


@dataclass(frozen=True, eq=False)
class Box:
    """Bounds of d genes, and where each lies along the model.

    `low`, `high`: (d,) float64, low <= high, finite. `depth`: (d,) int64, equal for genes that
    belong to one layer group, growing from input to output (0, 1, 2 ...; d groups of one gene
    for a plain vector).
    """

    low: np.ndarray
    high: np.ndarray
    depth: np.ndarray

    def __post_init__(self) -> None:
        for name, array in (("high", self.high), ("depth", self.depth)):
            if self.low.ndim != 1 or array.shape != self.low.shape:
                raise GenomeError(
                    f"Box.low has shape {self.low.shape} and Box.{name} {array.shape}; "
                    "give one number a gene in each."
                )
        if not (np.isfinite(self.low) & np.isfinite(self.high) & (self.low <= self.high)).all():
            raise GenomeError("Box needs finite bounds with low <= high for every gene.")

    @classmethod
    def of(cls, low: float | Sequence[float], high: float | Sequence[float], d: int) -> Box:
        """A box of `d` genes; numbers are repeated, sequences have length d."""
        lows, highs = (
            np.broadcast_to(np.asarray(x, np.float64), (d,)).copy() for x in (low, high)
        )
        return cls(lows, highs, np.arange(d))

    @property
    def size(self) -> int:
        """d, the number of genes."""
        return len(self.low)

    def clip(self, values: np.ndarray) -> np.ndarray:
        """`values` (d,) moved to the nearest point of the box, float64."""
        return np.clip(np.asarray(values, dtype=np.float64), self.low, self.high)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """(d,) float64, uniform in the box."""
        return rng.uniform(self.low, self.high)


@runtime_checkable
class VectorLike(Genome, Protocol):
    """A genome that numeric operators and library searches can move: vectors, merge recipes."""

    @property
    def values(self) -> np.ndarray:
        """(d,) float64 inside `box`."""
        ...

    @property
    def box(self) -> Box: ...

    def at(self, values: np.ndarray) -> Self:
        """The same kind of genome at `values` (d,), clipped to the box (and to its grid)."""
        ...


@dataclass(frozen=True, eq=False)
class Vector:
    """A point of a box; expressed, it is the (d,) float64 array: a copy, to be written into."""

    values: np.ndarray
    box: Box

    def __post_init__(self) -> None:
        if self.values.shape != self.box.low.shape:
            raise GenomeError(
                f"Vector has {self.values.shape} values, its box {self.box.low.shape} genes; "
                "they must agree."
            )
        if not np.isfinite(self.values).all():
            raise GenomeError("Vector has a NaN or infinite value; genes must be finite.")

    @classmethod
    def random(cls, box: Box, rng: np.random.Generator) -> Self:
        """Uniform in the box."""
        return cls(box.draw(rng), box)

    def at(self, values: np.ndarray) -> Self:
        return type(self)(self.box.clip(values), self.box)

    def pack(self) -> Packed:
        arrays = {"values": self.values, "low": self.box.low, "high": self.box.high}
        return Packed({}, {**arrays, "depth": self.box.depth})

    @classmethod
    def unpack(cls, packed: Packed) -> Self:
        a = packed.arrays
        return cls(a["values"], Box(a["low"], a["high"], a["depth"]))

    def express(self) -> np.ndarray:
        return self.values.copy()
