"""Reference points on the unit simplex (Das & Dennis 1998; two layers: Deb & Jain 2014, sec. V).

On the CPU. Knows no costs: what the points are for is NSGA-III's business.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_MOST = 10_000_000  # points; more is a slip in `divisions`, not a wish


def das_dennis(n_objectives: int, divisions: int) -> Tensor:
    """(r, m) float64 points of coordinates i / divisions that sum to 1, in lexicographic order.

    r = C(divisions + m - 1, m - 1). Raises ValueError for n_objectives < 2, divisions < 1, what
    is no int, or more than ten million points.
    """
    check_objectives(n_objectives, "das_dennis")
    if not is_int(divisions) or divisions < 1:
        raise ValueError(
            f"das_dennis got divisions={divisions!r}, expected an int of 1 or more; "
            "divisions_for(n_objectives, n_points) finds a number."
        )
    n_points = math.comb(divisions + n_objectives - 1, n_objectives - 1)
    if n_points > _MOST:
        raise ValueError(
            f"das_dennis(n_objectives={n_objectives}, divisions={divisions}) has {n_points} "
            f"points, expected at most {_MOST}; use fewer divisions, or two_layer."
        )
    return _lattice(n_objectives, divisions).double() / divisions


def two_layer(n_objectives: int, outer: int, inner: int) -> Tensor:
    """(r, m) float64: das_dennis(outer), then das_dennis(inner) drawn halfway to the centre.

    Interior points for many objectives, where one affordable layer has none. A point of the
    inner layer that is also one of the outer is left out.
    """
    edge, core = das_dennis(n_objectives, outer), das_dennis(n_objectives, inner)
    points = torch.cat([edge, core / 2 + 1 / (2 * n_objectives)])
    unit = 2 * n_objectives * outer * inner  # every coordinate is a whole number of 1 / unit
    places = (points * unit).round().to(torch.int64)
    _, inverse = torch.unique(places, dim=0, return_inverse=True)
    number = torch.arange(len(points), device="cpu")
    earliest = torch.full((int(inverse.max()) + 1,), len(points), device="cpu")
    earliest = earliest.scatter_reduce(0, inverse, number, "amin")
    return points[earliest[inverse] == number]


def divisions_for(n_objectives: int, n_points: int) -> int:
    """The most divisions of which das_dennis makes at most `n_points` points.

    Raises ValueError for what is no int, and if not even one division fits: that makes
    n_objectives points.
    """
    check_objectives(n_objectives, "divisions_for")
    if not is_int(n_points) or n_points < n_objectives:
        raise ValueError(
            f"divisions_for got n_points={n_points!r} for {n_objectives} objectives, expected an "
            f"int of at least {n_objectives} (one division puts a point on each axis); ask for "
            "more points."
        )
    divisions = 1
    while math.comb(divisions + n_objectives, n_objectives - 1) <= n_points:
        divisions += 1
    return divisions


def _lattice(m: int, divisions: int) -> Tensor:
    """(r, m) int64: every way to write `divisions` as m ordered whole numbers, lexicographic."""
    rows = torch.zeros((1, 0), dtype=torch.int64, device="cpu")
    left = torch.tensor([divisions], device="cpu")
    for _ in range(m - 1):
        choices = left + 1  # the next coordinate is 0 .. left
        parent = torch.repeat_interleave(torch.arange(len(left), device="cpu"), choices)
        start = choices.cumsum(0) - choices
        value = torch.arange(len(parent), device="cpu") - start[parent]
        rows = torch.cat([rows[parent], value[:, None]], dim=1)
        left = left[parent] - value
    return torch.cat([rows, left[:, None]], dim=1)


def check_objectives(n_objectives: int, who: str) -> None:
    """ValueError for what is no int of 2 or more."""
    if not is_int(n_objectives) or n_objectives < 2:
        raise ValueError(
            f"{who} got n_objectives={n_objectives!r}, expected an int of 2 or more; use "
            "Truncation() for one objective."
        )


def is_int(number: object) -> bool:
    """True is none: it would count as 1."""
    return isinstance(number, int) and not isinstance(number, bool)
