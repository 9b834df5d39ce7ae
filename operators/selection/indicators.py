"""How good a set of costs is: IGD, IGD+, GD and hypervolume. Knows no selection.

Costs are minimised; numbers come out in the costs' own units, so objectives of unlike scales want
normalising first. Float64 throughout, whatever the dtype given; what is not finite is refused, and
no gradient is followed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from operators.selection.arguments import check_costs, check_generator
from operators.selection.tiles import tile

_TILE = 1 << 20  # distances or comparisons held at once on the CPU
_MOOCORE_OBJECTIVES = 31  # of its hypervolume


def igd(points: Tensor, front: Tensor) -> Tensor:
    """() float64: the mean distance of `front` to its nearest `points`.

    The mean, as in Ishibuchi et al. 2015; Coello & Reyes Sierra (2004) took a root of squares.
    points: (n, m) float, what was found; front: (r, m) float, what was to be found; in that order
    always: `gd` is the other way. n, r >= 1; finite; same device, any. Least is best; 0 if every
    row of the front was found. O(n r m) time, one tile of memory. Raises ValueError.
    """
    return _mean_distance(front, points, (points, front), "igd")


def igd_plus(points: Tensor, front: Tensor) -> Tensor:
    """() float64: as `igd`, by how much points are worse only (Ishibuchi et al. 2015).

    The distance of a point a to a row z of the front is the norm of max(a - z, 0), so a set that
    dominates another never has the larger value. Arguments as `igd`.
    """
    return _mean_distance(front, points, (points, front), "igd_plus", plus=True)


def gd(points: Tensor, front: Tensor) -> Tensor:
    """() float64: the mean distance of `points` to its nearest row of `front`.

    The mean, not the root of the sum of squares by n of Van Veldhuizen (1999). 0 if every point
    is on the front, even one single point: read it beside `igd`. Arguments as `igd`.
    """
    return _mean_distance(points, front, (points, front), "gd")


def hypervolume(
    points: Tensor,
    reference: Tensor,
    *,
    n_samples: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """() float64: the volume that `points` dominate within `reference` (Zitzler & Thiele 1998).

    points: (n, m) float, finite, any device; no rows have no volume, and points not below the
    reference in every objective add none. reference: (m,) float, finite, on the same device.
    n_samples None: exact, by moocore, for points on the CPU; of order n^(m - 2) at worst for many
    objectives, of which moocore takes 31. ImportError without moocore.
    n_samples: a Monte-Carlo estimate, any device, from so many samples drawn by `generator` (on
    the CPU, moved) in the box from the points' best costs to the reference. Unbiased; its standard
    error is V sqrt(p (1 - p) / n_samples), p = estimate / V the share of that box, of volume V,
    that is dominated: a tenth of it takes a hundred times the samples. O(n_samples n m) time,
    one tile of memory. Raises ValueError.
    """
    check_costs(points, "hypervolume (points)")
    _check_finite(points, "points", "hypervolume")
    _check_reference(points, reference)
    limit = reference.detach().double()
    inside = points.detach().double()
    inside = inside[(inside < limit).all(1)]
    if n_samples is None:
        if points.device.type != "cpu":
            raise ValueError(
                f"hypervolume got points on {points.device} and no n_samples, expected points on "
                "the CPU for the exact value; pass points.cpu() and reference.cpu(), or n_samples "
                "and a generator for an estimate."
            )
        return _exact(inside, limit)
    if isinstance(n_samples, bool) or not isinstance(n_samples, int) or n_samples < 1:
        raise ValueError(f"hypervolume got n_samples={n_samples!r}, expected an int of 1 or more.")
    if generator is None:
        raise ValueError(
            "hypervolume got n_samples and no generator; pass torch.Generator().manual_seed(seed)."
        )
    check_generator(generator, "hypervolume")
    return _estimate(inside, limit, n_samples, generator)


def _exact(points: Tensor, reference: Tensor) -> Tensor:
    """() float64 on the CPU."""
    if len(reference) > _MOOCORE_OBJECTIVES:
        raise ValueError(
            f"hypervolume got points of {len(reference)} objectives and no n_samples, expected at "
            f"most {_MOOCORE_OBJECTIVES} for the exact value; pass n_samples and a generator for "
            "an estimate."
        )
    try:
        import moocore
    except ImportError as missing:
        raise ImportError(
            "the exact hypervolume needs moocore, which is not installed; pip install moocore, or "
            "pass n_samples and a generator for an estimate."
        ) from missing
    if not points.shape[0]:
        return torch.zeros((), dtype=torch.float64, device="cpu")
    value: float = moocore.hypervolume(points.numpy(), ref=reference.numpy())
    return torch.tensor(value, dtype=torch.float64, device="cpu")


def _estimate(
    points: Tensor, reference: Tensor, n_samples: int, generator: torch.Generator
) -> Tensor:
    """() float64 on the device of `points` (n, m), all below `reference` (m,)."""
    n, m = points.shape
    if not n:
        return torch.zeros((), dtype=torch.float64, device=points.device)
    low = points.amin(0)
    span = reference - low
    step = max(1, tile(_TILE, points.device) // n)
    hits = torch.zeros((), dtype=torch.int64, device=points.device)
    for first in range(0, n_samples, step):
        size = min(step, n_samples - first)
        unit = torch.rand((size, m), dtype=torch.float64, generator=generator, device="cpu")
        samples = low + unit.to(points.device) * span
        below = points[:, 0, None] <= samples[:, 0]
        for j in range(1, m):
            below &= points[:, j, None] <= samples[:, j]
        hits += below.any(0).sum()
    return torch.where(hits > 0, hits / n_samples * span.prod(), 0.0)


def _mean_distance(
    rows: Tensor, others: Tensor, arguments: tuple[Tensor, Tensor], who: str, plus: bool = False
) -> Tensor:
    """() float64 mean over `rows` of the distance to the nearest of `others`.

    plus: `others` count only where they exceed the row. Scaled by a power of two, which is exact:
    squares of costs near 1e300 would overflow, those near 1e-300 vanish.
    """
    points, front = arguments
    check_costs(points, f"{who} (points)")
    check_costs(front, f"{who} (front)")
    if points.shape[1] != front.shape[1] or points.device != front.device:
        raise ValueError(
            f"{who} got points {tuple(points.shape)} on {points.device} and a front "
            f"{tuple(front.shape)} on {front.device}, expected as many objectives on one device; "
            "the points come first, then the front."
        )
    if not points.shape[0] or not front.shape[0]:
        raise ValueError(
            f"{who} got points {tuple(points.shape)} and a front {tuple(front.shape)}, expected "
            "one row or more in each: no rows have no distance."
        )
    _check_finite(points, "points", who)
    _check_finite(front, "front", who)
    rows, others = rows.detach(), others.detach()
    largest = max(float(rows.abs().max()), float(others.abs().max()))
    exponent = max(math.frexp(largest)[1] - 1, -1000)  # costs / 2^exponent are within [-2, 2]
    scaled, targets = (_times_two_to(each.double(), -exponent) for each in (rows, others))
    total = scaled.new_zeros(())
    for part in torch.split(scaled, max(1, tile(_TILE, rows.device) // targets.shape[0])):
        square = part.new_zeros((part.shape[0], targets.shape[0]))
        for j in range(part.shape[1]):
            gap = targets[:, j] - part[:, j, None]
            square += (gap.clamp(min=0.0) if plus else gap).square()
        total += square.amin(1).sqrt().sum()
    return _times_two_to(total / rows.shape[0], exponent)


def _times_two_to(value: Tensor, exponent: int) -> Tensor:
    """`value` float64 * 2^exponent; in two steps, as 2^1023 is the largest factor."""
    half = exponent // 2
    return value * math.ldexp(1.0, half) * math.ldexp(1.0, exponent - half)


def _check_finite(rows: Tensor, name: str, who: str) -> None:
    broken = int((~torch.isfinite(rows)).any(1).sum())
    if broken:
        raise ValueError(
            f"{who} got {name} {tuple(rows.shape)} with a NaN or an infinity in {broken} rows, "
            "expected finite numbers; drop these rows: costs[costs.isfinite().all(1)]."
        )


def _check_reference(points: Tensor, reference: Tensor) -> None:
    if not isinstance(reference, Tensor) or reference.shape != points.shape[1:]:
        came = (
            tuple(reference.shape) if isinstance(reference, Tensor) else type(reference).__name__
        )
        raise ValueError(
            f"hypervolume got points {tuple(points.shape)} and a reference {came}, expected a "
            f"tensor ({points.shape[1]},), worse than the points in every objective."
        )
    if reference.device != points.device or not bool(torch.isfinite(reference.double()).all()):
        raise ValueError(
            f"hypervolume got points on {points.device} and a reference {reference.tolist()} on "
            f"{reference.device}, expected finite numbers on one device; use reference.to(points)."
        )
