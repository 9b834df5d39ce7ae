"""How levels are made: which grid, by which method, from which calibration text.

Knows no weights. What is said here is in the manifest of a database, so that a build is only
ever resumed as it was begun.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from evolve.errors import GenomeError
from evolve.genome import Json
from evolve.genomes.compression.space import BitGrid, ZeroGrid


class Method(StrEnum):
    """What solves a layer: the first two make bits, the others zeros."""

    GPTQ = "gptq"
    RTN = "rtn"
    SPARSEGPT = "sparsegpt"
    MAGNITUDE = "magnitude"


OF_BITS = (Method.GPTQ, Method.RTN)


@dataclass(frozen=True)
class Settings:
    """`damping`: of the Hessian, as a share of its mean diagonal. `search_scales`: a group may
    take another than the full scale, by squared error (bits only). `threads`: of the walk through
    the model; solvers have one. `tied`: as of the space that the levels are for; fused layers
    then share a step of a `ZeroGrid`.
    """

    grid: BitGrid | ZeroGrid
    method: Method
    tied: bool = True
    damping: float = 0.01
    search_scales: bool = True
    threads: int = 1

    def __post_init__(self) -> None:
        bits = isinstance(self.grid, BitGrid)
        if bits != (self.method in OF_BITS):
            fit = [each.value for each in Method if (each in OF_BITS) == bits]
            raise GenomeError(
                f"The method {self.method.value} makes no {'bits' if bits else 'zeros'}; give "
                f"{' or '.join(fit)}."
            )
        if not 0 < self.damping < 1 or self.threads < 1:
            raise GenomeError(
                f"Settings has damping {self.damping} and {self.threads} threads; give a damping "
                "between 0 and 1, and 1 thread or more."
            )

    def facts(self, tokens: np.ndarray) -> dict[str, Json]:
        """The settings as JSON, with the digest of the calibration `tokens` (n, length)."""
        grid: dict[str, Json]
        if isinstance(self.grid, BitGrid):
            grid = {"bits": list(self.grid.bits), "group": self.grid.group}
        else:
            grid = {
                "sparsity": self.grid.sparsity,
                "reach": self.grid.reach,
                "divisor": self.grid.divisor,
            }
        content = np.ascontiguousarray(tokens, dtype="<i8").tobytes()
        return {
            "grid": grid,
            "method": self.method.value,
            "tied": self.tied,
            "damping": self.damping,
            "search_scales": self.search_scales,
            "threads": self.threads,
            "calibration": {
                "sha256": hashlib.sha256(content).hexdigest(),
                "sequences": tokens.shape[0],
                "length": tokens.shape[1],
            },
        }
