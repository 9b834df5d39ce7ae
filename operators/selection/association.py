"""The nearest reference line of each point (Deb & Jain 2014, alg. 3). Knows no survival.

Nearest is the largest cosine; lines within 1e-12 of it tie, and the lowest index wins: so the
niche does not hang on a device's rounding. Where it pays, a Das-Dennis set of up to three
objectives is looked up around the point's projection on its lattice, and a set of more that is
symmetric is sorted for (`symmetry`); the tests hold both equal to trying every line, which is
what other sets get, in tiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from operators.selection.symmetry import TIE, Symmetry, symmetry_of
from operators.selection.tiles import tile

_TILE = 1 << 18  # float64 numbers held at once on the CPU
_WORTH = 40  # lines tried in the time of one candidate of the look-up, measured on a CPU
_ORIGIN = 1e-100  # lengths whose squares are too small to tell a direction
_EXACT = 1e-9  # how near a coordinate times divisions must be to a whole number


@dataclass(frozen=True, eq=False)
class Lattice:
    """The Das-Dennis set of `divisions`, by its first m - 1 whole coordinates.

    rows: ((divisions + 1) ^ (m - 1),) int64, the row of the set at a place; r where there is none.
    """

    divisions: int
    rows: Tensor


Finder: TypeAlias = "Lattice | Symmetry | None"


def finder_of(points: Tensor, directions: Tensor) -> Finder:
    """The quickest way to the nearest line of `points` (r, m) float64; None: try every one.

    directions: (r, m) float64, the points as unit rows.
    """
    on_simplex = points / points.sum(1, keepdim=True)
    if points.shape[1] <= 3:
        return lattice_of(on_simplex)
    return symmetry_of(on_simplex, directions)


def lattice_of(points: Tensor) -> Lattice | None:
    """The lattice of `points` (r, m) float64, m <= 3, in any order; None if they are not one.

    None as well where a look-up does not pay: a candidate costs as much as some 40 lines tried.
    """
    r, m = points.shape
    divisions = 1
    while math.comb(divisions + m - 1, m - 1) < r:
        divisions += 1
    whole = points * divisions
    places = whole.round().to(torch.int64)
    exact = bool(((whole - places).abs() < _EXACT).all() and (places.sum(1) == divisions).all())
    paid = _WORTH * 2 ** (m - 1) < r
    if not exact or math.comb(divisions + m - 1, m - 1) != r or not paid:
        return None
    rows = torch.full(((divisions + 1) ** (m - 1),), r, dtype=torch.int64, device=points.device)
    place = (places[:, : m - 1] * _strides(m, divisions, points.device)).sum(1)
    rows[place] = torch.arange(r, device=points.device)
    return Lattice(divisions, rows) if int((rows < r).sum()) == r else None


def nearest_line(
    points: Tensor, directions: Tensor, finder: Finder = None
) -> tuple[Tensor, Tensor]:
    """(n,) int64 nearest line of each point and (n,) float64 perpendicular distance to it.

    points: (n, m) float64 >= 0, finite; any device. directions: (r, m) float64 unit rows there.
    The origin, and what is within 1e-100 of it, belongs to line 0.
    """
    length = points.norm(dim=1, keepdim=True)
    unit = points / torch.where(length > _ORIGIN, length, torch.inf)
    if isinstance(finder, Lattice):
        line = _by_looking_up(unit, directions, finder)
    elif isinstance(finder, Symmetry):
        line = _by_sorting(unit, directions, finder)
    else:
        line = _by_trying(unit, directions)
    along = directions[line]
    off = points - (points * along).sum(1, keepdim=True) * along
    return line, off.norm(dim=1)


def _by_trying(unit: Tensor, directions: Tensor) -> Tensor:
    """(n,) int64: the tie rule over all lines; a tile of rows at once."""
    across = directions.T.contiguous()  # three times as fast to multiply with on a CPU
    step = max(1, tile(_TILE, unit.device) // directions.shape[0])
    line = torch.empty(len(unit), dtype=torch.int64, device=unit.device)
    for start in range(0, len(unit), step):
        cosine = unit[start : start + step] @ across
        tied = cosine >= cosine.amax(1, keepdim=True) - TIE
        line[start : start + step] = tied.view(torch.uint8).argmax(1)  # the first
    return line


def _by_sorting(unit: Tensor, directions: Tensor, symmetry: Symmetry) -> Tensor:
    """(n,) int64: the tie rule by symmetry; rows in doubt try every line."""
    line, doubt = symmetry.nearest(unit)
    again = doubt.nonzero()[:, 0]
    line[again] = _by_trying(unit[again], directions)
    return line


def _by_looking_up(unit: Tensor, directions: Tensor, lattice: Lattice) -> Tensor:
    """(n,) int64: the tie rule over the lattice places around the projection on the simplex.

    The places below and above in each of m - 1 coordinates are enough for m <= 3, not for more.
    """
    r, m = directions.shape
    steps = torch.arange(2, device=unit.device)
    around = torch.cartesian_prod(*[steps] * (m - 1)).reshape(-1, m - 1)
    strides = _strides(m, lattice.divisions, unit.device)
    rows_of = lattice.rows.to(unit.device)
    beyond = torch.cat([directions, torch.zeros_like(directions[:1])])  # row r: no line, cosine -1
    step = max(1, tile(_TILE, unit.device) // (around.shape[0] * m))
    found = torch.empty(len(unit), dtype=torch.int64, device=unit.device)
    for start in range(0, len(unit), step):
        rows = unit[start : start + step]
        total = rows.sum(1, keepdim=True)
        place = rows[:, : m - 1] / torch.where(total > 0, total, 1.0) * lattice.divisions
        near = place.floor().to(torch.int64)[:, None] + around  # (n, c, m - 1)
        inside = (near >= 0).all(2) & (near.sum(2) <= lattice.divisions)
        line = rows_of[torch.where(inside, (near * strides).sum(2), 0)].where(inside, r)
        cosine = (beyond[line] * rows[:, None]).sum(2).where(inside, -1.0)
        tied = cosine >= cosine.amax(1, keepdim=True) - TIE
        nearest = line.where(tied, r).amin(1)
        found[start : start + step] = nearest.where(total[:, 0] > 0, 0)
    return found


def _strides(m: int, divisions: int, device: torch.device) -> Tensor:
    """(m - 1,) int64: what a step in each whole coordinate moves in `Lattice.rows`."""
    return (divisions + 1) ** torch.arange(m - 1, device=device)
