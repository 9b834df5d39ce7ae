"""Small genomes and records for the tests of the machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evolve.genome import digest
from evolve.genomes.vector import Box, Vector
from evolve.score import Objective, Record, Score

BOX = Box.of(-1.0, 1.0, 3)
F = (Objective("f"),)
FG = (Objective("f"), Objective("g"))


def vector(x: float, box: Box = BOX) -> Vector:
    """All genes at `x`."""
    return Vector(np.full(box.size, float(x)), box)


def record(
    birth: int, values: Sequence[float], x: float | None = None, *, violation: float = 0.0,
    rung: int = 0, samples: tuple[np.ndarray, ...] | None = None, operator: str = "founder",
) -> Record[Vector]:  # fmt: skip
    """A scored vector; its genome differs with `x` (by default with `birth`)."""
    genome = vector(birth / 1000 if x is None else x)
    score = Score(tuple(values), violation=violation, samples=samples)
    return Record(birth, genome, digest(genome), score, rung, operator=operator)


def failure(birth: int, error: str = "exception: no") -> Record[Vector]:
    """A vector whose evaluation failed."""
    genome = vector(birth / 1000)
    return Record(birth, genome, digest(genome), Score.failed(error))
