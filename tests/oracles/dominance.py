"""Fronts by the definition, one comparison at a time. Slow and obvious numpy."""

from __future__ import annotations

import numpy as np

UNRANKED = np.iinfo(np.int64).max


def dominates(a: np.ndarray, b: np.ndarray) -> bool:
    """No objective worse, one better (minimised)."""
    return bool(np.all(a <= b) and np.any(a < b))


def fronts(
    costs: np.ndarray, violation: np.ndarray | None = None, enough: int | None = None
) -> np.ndarray:
    """(n,) int64: feasible by dominance, then infeasible by violation, then one front of rest."""
    n = len(costs)
    violation = np.zeros(n) if violation is None else violation
    valid = [i for i in range(n) if np.isfinite(costs[i]).all() and not np.isnan(violation[i])]
    feasible = [i for i in valid if violation[i] <= 0]
    order: list[list[int]] = []
    left = feasible
    while left:
        front = [i for i in left if not any(dominates(costs[j], costs[i]) for j in left)]
        order.append(front)
        left = [i for i in left if i not in front]
    infeasible = [i for i in valid if i not in feasible]
    for level in sorted({float(violation[i]) for i in infeasible}):
        order.append([i for i in infeasible if violation[i] == level])
    order.append([i for i in range(n) if i not in valid])
    rank = np.full(n, UNRANKED)
    ranked = 0
    for number, front in enumerate(order):
        if enough is not None and ranked >= enough:
            break
        rank[front] = number
        ranked += len(front)
    return rank
