"""Reference points on the unit simplex (Das & Dennis 1998; two layers: Deb & Jain 2014, sec. V).

Knows no costs: what the points are for is NSGA-III's business.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_MOST = 10_000_000  # points; more is a slip in `divisions`, not a wish


def das_dennis(n_objectives: int, divisions: int) -> Tensor:
    """(r, m) float64 points of coordinates i / divisions that sum to 1, in lexicographic order.

    r = C(divisions + m - 1, m - 1). Raises ValueError for n_objectives < 2, divisions < 1, or
    more than ten million points.
    """
    _check_objectives(n_objectives)
    if divisions < 1:
        raise ValueError(
            f"das_dennis got divisions={divisions}, expected 1 or more; "
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
    number = torch.arange(len(points))
    earliest = torch.full((int(inverse.max()) + 1,), len(points))
    earliest = earliest.scatter_reduce(0, inverse, number, "amin")
    return points[earliest[inverse] == number]


def divisions_for(n_objectives: int, n_points: int) -> int:
    """The most divisions of which das_dennis makes at most `n_points` points.

    Raises ValueError if not even one division fits: that makes n_objectives points.
    """
    _check_objectives(n_objectives)
    if n_points < n_objectives:
        raise ValueError(
            f"divisions_for got n_points={n_points} for {n_objectives} objectives, expected at "
            f"least {n_objectives} (one division puts a point on each axis); ask for more points."
        )
    divisions = 1
    while math.comb(divisions + n_objectives, n_objectives - 1) <= n_points:
        divisions += 1
    return divisions


def _lattice(m: int, divisions: int) -> Tensor:
    """(r, m) int64: every way to write `divisions` as m ordered whole numbers, lexicographic."""
    rows = torch.zeros((1, 0), dtype=torch.int64)
    left = torch.tensor([divisions])
    for _ in range(m - 1):
        choices = left + 1  # the next coordinate is 0 .. left
        parent = torch.repeat_interleave(torch.arange(len(left)), choices)
        start = choices.cumsum(0) - choices
        value = torch.arange(len(parent)) - start[parent]
        rows = torch.cat([rows[parent], value[:, None]], dim=1)
        left = left[parent] - value
    return torch.cat([rows, left[:, None]], dim=1)


def _check_objectives(n_objectives: int) -> None:
    if n_objectives < 2:
        raise ValueError(
            f"reference points were asked for {n_objectives} objective(s), expected 2 or more; "
            "use Truncation() for one objective."
        )
