"""Reference points for a population: which set, and how many. Knows sizes, not costs.

The sizes of Deb & Jain 2014, table I: as many points as individuals, or a few less; one
Das-Dennis layer while it has points inside the simplex, two layers where it has none. Between
the sizes that these have, Riesz s-energy gives any number.
"""

from __future__ import annotations

import math

from torch import Tensor

from operators.selection.reference import (
    check_objectives,
    das_dennis,
    divisions_for,
    is_int,
    two_layer,
)
from operators.selection.riesz import riesz

_FILLED = 0.8  # of the individuals; a regular set with a smaller share leaves too many lines out
_MOST_RIESZ = 1000  # points; ten seconds on a core, and it grows with the square


def reference_points(n_individuals: int, n_objectives: int) -> Tensor:
    """(r, m) float64 points with m <= r <= n_individuals; prints one line that says which.

    Das-Dennis or its two layers if they make at least 0.8 points an individual, or above 1000
    individuals; else Riesz s-energy with a point an individual. The same for the same sizes.
    Raises ValueError for n_objectives < 2, fewer individuals than objectives, what is no int.
    """
    _check(n_individuals, n_objectives)
    divisions = divisions_for(n_objectives, n_individuals)
    inside = divisions >= n_objectives  # m divisions put the first point there
    layers = None if inside else _two_layers(n_individuals, n_objectives, divisions)
    if layers is None:
        points = das_dennis(n_objectives, divisions)
        what = f"Das-Dennis, {divisions} division{'s' if divisions > 1 else ''}"
    else:
        points = two_layer(n_objectives, *layers)
        what = f"Das-Dennis in two layers, {layers[0]} and {layers[1]} divisions"
    if len(points) < _FILLED * n_individuals and n_individuals <= _MOST_RIESZ:
        points = riesz(n_objectives, n_individuals)
        what = "Riesz s-energy, seed 0"
    print(
        f"{len(points)} reference points for {n_individuals} individuals, "
        f"{n_objectives} objectives: {what}"
    )
    return points


def _two_layers(n_points: int, m: int, divisions: int) -> tuple[int, int] | None:
    """(outer, inner), inner < outer <= `divisions`, of the most points up to `n_points`."""
    best: tuple[int, int, int] | None = None
    for outer in range(2, divisions + 1):
        left = n_points - _size(outer, m)
        if left >= m:
            inner = min(outer - 1, divisions_for(m, left))
            best = max(best or (0, 0, 0), (_size(outer, m) + _size(inner, m), outer, inner))
    return best and best[1:]


def _size(divisions: int, m: int) -> int:
    return math.comb(divisions + m - 1, m - 1)


def _check(n_individuals: int, n_objectives: int) -> None:
    check_objectives(n_objectives, "reference_points")
    if not is_int(n_individuals) or n_individuals < n_objectives:
        raise ValueError(
            f"reference_points got n_individuals={n_individuals!r} for {n_objectives} objectives, "
            f"expected an int of at least {n_objectives} (a point on each axis); use a larger "
            "population."
        )
