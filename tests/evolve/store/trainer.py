"""An operator that needs a worker, so that its births are planned first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from evolve.genomes.vector import Vector
from evolve.score import Needs, Record


@dataclass(frozen=True)
class Trainer:
    """A copy of its first parent."""

    name: str = "trainer"
    arity: int = 2
    needs: Needs | None = field(default_factory=Needs)

    def vary(self, parents: Sequence[Record[Vector]], rng: np.random.Generator) -> Vector:
        return parents[0].genome
