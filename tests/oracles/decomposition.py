"""MOEA/D's slots and RVEA's survival as their papers write them: loops. Slow and obvious numpy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tests.oracles import dominance
from tests.oracles.niching import nearest_line

Decompose = Callable[[list[float], list[float]], float]


def neighbourhoods(weights: np.ndarray, width: int) -> list[list[int]]:
    """The nearest weights of each, itself first; distances equal to 1e-12 go by row."""
    near = []
    for i, own in enumerate(weights):
        squares = [sum(float(x) * float(x) for x in other - own) for other in weights]
        others = sorted((j != i, round(square / 1e-12), j) for j, square in enumerate(squares))
        near.append([j for _, _, j in others[:width]])
    return near


def tchebycheff(away: list[float], weights: list[float]) -> float:
    return max(a * max(w, 1e-6) for a, w in zip(away, weights))


def pbi(away: list[float], weights: list[float], theta: float = 5.0) -> float:
    length = math.sqrt(sum(w * w for w in weights))
    along = sum(a * w for a, w in zip(away, weights)) / length
    off = [a - along * w / length for a, w in zip(away, weights)]
    return along + theta * math.sqrt(sum(x * x for x in off))


def placed(
    costs: np.ndarray,
    violation: np.ndarray,
    n_slots: int,
    slots: list[int],
    weights: np.ndarray,
    near: list[list[int]],
    decompose: Decompose,
) -> list[int]:
    """Who sits in each slot; the first `n_slots` of `costs` sit there, the others are offspring.

    One after another the offspring are offered to their neighbourhoods.
    """
    feasible = [_feasible(row, amount) for row, amount in zip(costs, violation)]
    ideal = [min([float("inf"), *costs[feasible, j]]) for j in range(costs.shape[1])]

    def worth(i: int, slot: int) -> tuple[int, float]:
        if feasible[i]:
            away = [float(x - z) for x, z in zip(costs[i], ideal)]
            return 0, decompose(away, [float(w) for w in weights[slot]])
        if np.isfinite(costs[i]).all() and not math.isnan(violation[i]):
            return 1, float(violation[i])
        return 2, 0.0

    held = list(range(n_slots))
    for offspring, slot in enumerate(slots, n_slots):
        for j in near[slot]:
            if worth(offspring, j) < worth(held[j], j):
                held[j] = offspring
    return held


def rvea(
    costs: np.ndarray,
    violation: np.ndarray,
    k: int,
    vectors: np.ndarray,
    weight: float,
    key: list[int],
) -> list[int]:
    """Cheng et al. 2016, alg. 3, then filled to k by front and place; equals by key.

    Distances count to 26 bits after the first: equal rows have equal ones, however rounded.
    weight: (t / t_max) ^ alpha.
    """
    feasible = [i for i in range(len(costs)) if _feasible(costs[i], violation[i])]
    niches: dict[int, list[int]] = {}
    distance = dict.fromkeys(range(len(costs)), 0.0)
    for i in feasible:
        above = costs[i] - costs[feasible].min(0)
        j = nearest_line(above, vectors)
        niches.setdefault(j, []).append(i)
        others = [v for other, v in enumerate(vectors) if other != j]
        gap = min(_angle(vectors[j], v) for v in others)
        penalty = costs.shape[1] * weight * _angle(above, vectors[j]) / gap
        fraction, exponent = math.frexp((1 + penalty) * float(np.linalg.norm(above)))
        distance[i] = math.ldexp(round(fraction * 2**27), exponent - 27)
    place = dict.fromkeys(range(len(costs)), 0)
    for members in niches.values():
        for number, i in enumerate(sorted(members, key=lambda i: (distance[i], key[i]))):
            place[i] = number
    best = [i for i in feasible if place[i] == 0]
    rank = dominance.fronts(costs, violation)
    others = [i for i in range(len(costs)) if i not in best]
    best.sort(key=lambda i: (distance[i], key[i]))
    others.sort(key=lambda i: (rank[i], place[i], distance[i], key[i]))
    return (best + others)[:k]


def stretched(points: np.ndarray, survivors: np.ndarray) -> np.ndarray:
    """Eq. 11: the vectors times the survivors' ranges."""
    rows = points * (survivors.max(0) - survivors.min(0))
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _feasible(costs: np.ndarray, violation: float) -> bool:
    return bool(np.isfinite(costs).all()) and violation <= 0


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    """Radians, from the chord of the unit vectors; 0 for the origin."""
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    if min(lengths) == 0:
        return 0.0
    chord = float(np.linalg.norm(a / lengths[0] - b / lengths[1]))
    return 2 * math.asin(min(1.0, chord / 2))
