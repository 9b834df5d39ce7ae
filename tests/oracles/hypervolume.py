"""Hypervolume by inclusion and exclusion, HypE's losses by trying every removal. Slow numpy."""

from __future__ import annotations

from itertools import combinations, pairwise, product

import numpy as np

TIE = 1e-10  # as in `operators.selection.hype`


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """The volume of the union of the boxes from each of `points` (n, m) to `reference` (m,)."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for some in combinations(points, size):
            shared = np.clip(reference - np.max(some, axis=0), 0, None).prod()
            total += (-1) ** (size + 1) * float(shared)
    return total


def cells(points: np.ndarray, reference: np.ndarray) -> dict[frozenset[int], float]:
    """The volume that exactly each set of rows dominates, for the sets that occur."""
    ends = [sorted({*column, end}) for column, end in zip(points.T, reference)]
    volumes: dict[frozenset[int], float] = {}
    for cell in product(*[list(pairwise(end)) for end in ends]):
        corner = np.array([low for low, _ in cell])
        above = frozenset(i for i, point in enumerate(points) if np.all(point <= corner))
        size = float(np.prod([high - low for low, high in cell]))
        if above and np.all(corner < reference):
            volumes[above] = volumes.get(above, 0.0) + size
    return volumes


def expected_losses(points: np.ndarray, reference: np.ndarray, k: int) -> np.ndarray:
    """(n,): the mean share of row a in what is lost, over all removals of k rows with a in them.

    What exactly a set of rows dominates is lost if all of them go, each having an equal share.
    """
    n = len(points)
    volumes = cells(points, reference)
    losses = np.zeros(n)
    for a in range(n):
        removals = [{a, *rest} for rest in combinations(sorted({*range(n)} - {a}), k - 1)]
        for gone in removals:
            shares = [v / len(above) for above, v in volumes.items() if a in above <= gone]
            losses[a] += sum(shares) / len(removals)
    return losses


def kept(points: np.ndarray, reference: np.ndarray, k: int) -> list[int]:
    """What is left of the rows when the first of the least loss goes, until k are left."""
    left = list(range(len(points)))
    while len(left) > k:
        losses = expected_losses(points[left], reference, len(left) - k)
        left.pop(int(np.argmax(losses <= losses.min() * (1 + TIE))))
    return left
