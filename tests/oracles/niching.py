"""NSGA-III's association and niching as the paper writes them: loops, one survivor at a time."""

from __future__ import annotations

import numpy as np


def nearest_line(point: np.ndarray, points: np.ndarray) -> int:
    """The line of the largest cosine; within 1e-12 of it the lowest index; 0 for the origin."""
    length = np.linalg.norm(point)
    if length == 0:
        return 0
    cosines = [float(point @ w / (length * np.linalg.norm(w))) for w in points]
    return next(j for j, cosine in enumerate(cosines) if cosine >= max(cosines) - 1e-12)


def niched(
    niche: list[int],
    distance: list[float],
    crowd: list[int],
    k: int,
    within: list[int],
    between: list[int],
) -> list[int]:
    """Deb & Jain 2014, alg. 4, with its random choices made by keys.

    A member drawn at random in a niche is the one with the smallest key `within`. Of the niches
    that tie for the least crowd, the one whose next member has the smallest `between` is taken.
    """
    crowd = list(crowd)
    left = set(range(len(niche)))
    taken: list[int] = []
    while len(taken) < k:
        least = min(crowd[niche[i]] for i in left)
        offers = []
        for j in {niche[i] for i in left if crowd[niche[i]] == least}:
            members = [i for i in left if niche[i] == j]
            if crowd[j] == 0:
                offer = min(members, key=lambda i: (distance[i], within[i]))
            else:
                offer = min(members, key=lambda i: within[i])
            offers.append(offer)
        chosen = min(offers, key=lambda i: between[i])
        taken.append(chosen)
        left.remove(chosen)
        crowd[niche[chosen]] += 1
    return taken
