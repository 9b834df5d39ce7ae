"""Where to write the labels of a scatter so that they overlap nothing. Knows points only.

Greedy placement on rings around each point, then sweeps that move one label at a time to its
cheapest place: the hill climbing of Christensen, Marks & Shieber (1995), deterministic.
"""

from __future__ import annotations

import math

import numpy as np

_RINGS = (0.0, 3.0, 7.0, 12.0, 19.0, 28.0, 40.0, 54.0, 70.0)  # beyond the mark, in points
_ANGLES = np.linspace(0.0, 2.0 * math.pi, 16, endpoint=False)
_SWEEPS = 4


def place_labels(
    anchors: np.ndarray,
    sizes: np.ndarray,
    clearances: np.ndarray,
    obstacles: np.ndarray,
    frame: tuple[float, float, float, float],
) -> np.ndarray:
    """(n, 2) lower left corners of n labels; every length in typographic points.

    anchors: (n, 2) the points named; sizes: (n, 2) width and height of each label;
    clearances: (n,) radius of each mark; obstacles: (k, 2) points that no label should cover
    (anchors are added); frame: (left, bottom, right, top) to stay inside.
    O(sweeps * n * places * (n + k)).
    """
    if not len(anchors):
        return np.zeros((0, 2))
    points = np.concatenate([obstacles.reshape(-1, 2), anchors])
    places = [_places(*named) for named in zip(anchors, sizes, clearances)]
    alone = [
        _crowding(corners, size, points, frame) + _distance_cost()
        for corners, size in zip(places, sizes)
    ]
    chosen = np.full(len(anchors), -1)
    for _ in range(_SWEEPS):
        for i, corners in enumerate(places):
            others = [j for j in range(len(places)) if j != i and chosen[j] >= 0]
            cost = alone[i].copy()
            for j in others:
                other = places[j][chosen[j]]
                cost += 50.0 * _overlap(corners, sizes[i], other, sizes[j])
                cost += 20.0 * _crossed(anchors[i], corners, sizes[i], anchors[j], other, sizes[j])
                cost += 8.0 * _struck(corners, sizes[i], anchors[j], other + sizes[j] / 2.0)
            chosen[i] = int(np.argmin(cost))
    return np.array([corners[k] for corners, k in zip(places, chosen)])


def _places(anchor: np.ndarray, size: np.ndarray, clearance: float) -> np.ndarray:
    """(p, 2) lower left corners of boxes that leave each ring around `anchor` free."""
    directions = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
    rings = np.repeat(np.array(_RINGS) + clearance, len(_ANGLES))[:, None]
    towards = np.tile(directions, (len(_RINGS), 1))
    # The box's nearest point lies on the ring: its centre on the sum of circle and box.
    centre = anchor + towards * rings + np.clip(1.6 * towards, -1.0, 1.0) * size / 2.0
    return np.asarray(centre - size / 2.0)


def _distance_cost() -> np.ndarray:
    """(p,) length of leader, plus a liking for right and above where all else is equal."""
    side = 1.0 - np.cos(_ANGLES - math.pi / 8.0)
    return (np.array(_RINGS)[:, None] + side).ravel()


def _crowding(
    corners: np.ndarray,
    size: np.ndarray,
    points: np.ndarray,
    frame: tuple[float, float, float, float],
) -> np.ndarray:
    """(p,) cost of points covered and of lying outside the frame."""
    margin = 2.5
    low = corners[:, None, :] - margin
    high = corners[:, None, :] + size + margin
    covered = ((points > low) & (points < high)).all(axis=2).sum(axis=1)
    left, bottom, right, top = frame
    outside = np.maximum(np.array([left, bottom]) - corners, 0.0).sum(axis=1)
    outside += np.maximum(corners + size - np.array([right, top]), 0.0).sum(axis=1)
    return np.asarray(25.0 * covered + 100.0 * outside)


def _overlap(
    corners: np.ndarray, size: np.ndarray, other: np.ndarray, other_size: np.ndarray
) -> np.ndarray:
    """(p,) extent by which a box at each corner enters the other box."""
    low = np.maximum(corners, other - 1.5)
    high = np.minimum(corners + size, other + other_size + 1.5)
    extent = np.maximum(high - low, 0.0)
    return np.asarray(np.where((extent > 0).all(axis=1), extent.sum(axis=1), 0.0))


def _crossed(
    anchor: np.ndarray,
    corners: np.ndarray,
    size: np.ndarray,
    other_anchor: np.ndarray,
    other: np.ndarray,
    other_size: np.ndarray,
) -> np.ndarray:
    """(p,) 1.0 where the leader to each corner crosses the other label's leader."""
    ends = corners + size / 2.0
    a, b = other_anchor, other + other_size / 2.0

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        ahead, aside = q - p, r - p
        return np.asarray(ahead[..., 0] * aside[..., 1] - ahead[..., 1] * aside[..., 0])

    across = side(a, b, anchor) * side(a, b, ends) < 0
    along = side(anchor, ends, a) * side(anchor, ends, b) < 0
    return np.asarray(across & along, dtype=np.float64)


def _struck(
    corners: np.ndarray, size: np.ndarray, start: np.ndarray, end: np.ndarray
) -> np.ndarray:
    """(p,) 1.0 where another label's leader, from `start` to `end`, runs through the box."""
    steps = start + np.linspace(0.0, 1.0, 12)[:, None] * (end - start)
    within = (steps > corners[:, None, :]) & (steps < corners[:, None, :] + size)
    return np.asarray(within.all(axis=2).any(axis=1), dtype=np.float64)
