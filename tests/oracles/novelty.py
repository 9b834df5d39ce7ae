"""Novelty as the paper writes it: every distance, sorted, one row at a time."""

from __future__ import annotations

import math

import numpy as np


def novelty(measures: np.ndarray, archive: np.ndarray, neighbours: int) -> list[float]:
    """Lehman & Stanley 2011, eq. 2; rows that are not finite have -inf and are left out."""
    others = np.concatenate([measures, archive])
    found = []
    for i, row in enumerate(measures):
        if not np.isfinite(row).all():
            found.append(-math.inf)
            continue
        distances = sorted(
            math.dist(row, other)
            for j, other in enumerate(others)
            if j != i and np.isfinite(other).all()
        )[:neighbours]
        found.append(sum(distances) / len(distances) if distances else 0.0)
    return found
