"""26 circles in the unit square, plainly: a grid, then random small steps that do no harm.

What may change lies between the markers. Knows no verifier.
"""

import numpy as np

N = 26


# EVOLVE-BLOCK-START centres
def centres(rng):
    """(26, 2) points: a grid of five by five, and one in a gap."""
    steps = (np.arange(5) + 0.5) / 5
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return np.concatenate([grid, [[0.4, 0.4]]])


# EVOLVE-BLOCK-END


# EVOLVE-BLOCK-START radii
def radii(points):
    """(26,) radii that fit: each circle in turn takes what is left, the largest share first."""
    room = np.minimum(points, 1 - points).min(axis=1)
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1) + 2 * np.eye(N)
    found = np.minimum(room, apart.min(axis=1) / 2)
    for i in np.argsort(-room):
        found[i] = min(room[i], (apart[i] - found).min())
    return found


# EVOLVE-BLOCK-END


# EVOLVE-BLOCK-START refine
def refined(points, rng):
    """`points` after random steps, those kept that make the sum of radii larger."""
    best = radii(points).sum()
    size = 0.05
    for _ in range(3000):
        moved = points.copy()
        i = rng.integers(len(points))
        moved[i] = np.clip(points[i] + size * rng.normal(size=2), 0.01, 0.99)
        total = radii(moved).sum()
        if total >= best:
            points, best = moved, total
        else:
            size = max(0.999 * size, 0.001)
    return points


# EVOLVE-BLOCK-END


def pack(seed):
    """Rows x, y, radius; radii a hair smaller, since the verifier grants no tolerance."""
    rng = np.random.default_rng(seed)
    points = np.asarray(refined(centres(rng), rng), dtype=float)
    sizes = np.asarray(radii(points), dtype=float) - 1e-12
    return [[float(x), float(y), float(r)] for (x, y), r in zip(points, sizes)]
