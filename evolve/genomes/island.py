"""An island before its next stint: the state of a whole tensor population, as arrays.

Knows neither the algorithm that the state belongs to nor how islands exchange individuals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, cast

import numpy as np

from evolve.errors import GenomeError
from evolve.genome import Packed


@dataclass(frozen=True, eq=False)
class Island:
    """Stint number `stint` of island number `island`, both from 0; expressed, it is its arrays.

    arrays: an evox algorithm's `state_dict` as numpy arrays, with `pop` (p, ...), one row an
    individual, and its costs `fit` (p,) or (p, m); empty for a founder, which starts anew. Raises
    `GenomeError` for anything else.
    """

    island: int
    stint: int
    arrays: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        if min(self.island, self.stint) < 0:
            raise GenomeError(
                f"Island got island={self.island} and stint={self.stint}; both count from 0."
            )
        if not self.arrays:
            return
        rows = [self.arrays[name].shape[:1] for name in ("pop", "fit") if name in self.arrays]
        if len(rows) < 2 or rows[0] != rows[1] or rows[0] in ((), (0,)):
            raise GenomeError(
                f"Island got arrays {sorted(self.arrays)} with {rows} rows in pop and fit; give "
                "an algorithm's whole state with as many individuals as costs, or {}."
            )

    def pack(self) -> Packed:
        return Packed({"island": self.island, "stint": self.stint}, self.express())

    @classmethod
    def unpack(cls, packed: Packed) -> Self:
        island, stint = (cast("int", packed.facts[name]) for name in ("island", "stint"))
        return cls(island, stint, packed.arrays)

    def express(self) -> Mapping[str, np.ndarray]:
        return {name: self.arrays[name] for name in sorted(self.arrays)}
