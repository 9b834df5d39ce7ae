"""M2N2's shared fitness and attraction in loops, for scores in [0, 1]."""

from __future__ import annotations

import math
import statistics


def shared(scores: list[list[list[float]]], eps: float) -> list[float]:
    """f_i = sum over objectives of sum_j c_j s_ij / (z_j + eps), over sum_j c_j."""
    n = len(scores[0])
    return [
        sum(
            sum(worth * part[i][j] for j, worth in enumerate(_worth(part, eps))) for part in scores
        )
        for i in range(n)
    ]


def attraction(scores: list[list[list[float]]], first: int, eps: float) -> list[float]:
    """sum_j c_j / (z_j + eps) max(s_Bj - s_Aj, 0) for each B."""
    n = len(scores[0])
    return [
        sum(
            worth * max(part[i][j] - part[first][j], 0.0)
            for part in scores
            for j, worth in enumerate(_worth(part, eps))
        )
        for i in range(n)
    ]


def of_losses(losses: list[list[float]]) -> list[list[float]]:
    """exp(-excess / median of the excesses above 0), a column's least loss being no excess."""
    least = [min(column) for column in zip(*losses)]
    excess = [[loss - low for loss, low in zip(row, least)] for row in losses]
    typical = statistics.median([e for row in excess for e in row if e > 0] or [1.0])
    return [[math.exp(-e / typical) for e in row] for row in excess]


def _worth(part: list[list[float]], eps: float) -> list[float]:
    limits = [max(column) for column in zip(*part)]
    total = sum(limits)
    return [c / total / (sum(column) + eps) for c, column in zip(limits, zip(*part))]
