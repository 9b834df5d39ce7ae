"""The nearest line of a set that holds every order of its coordinates. Knows no survival.

A Das-Dennis set, in one layer or two, is such a set. Of all orders of a line's coordinates the
one that falls where the point's fall is nearest (rearrangement inequality: Hardy, Littlewood &
Pólya 1934, 10.2). So a point needs to try the lines with falling coordinates only, some 1 / m! of
all, on its own coordinates sorted; then it undoes the sort.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial, prod

import torch
from torch import Tensor

from operators.selection.tiles import tile

TIE = 1e-12  # cosines nearer than this to the largest tie
_TILE = 1 << 16  # float64 numbers held at once on the CPU
_CLOSE = 1e-9  # coordinates nearer than this could be exchanged within a tie
_UNIT = 1e-9  # coordinates of points nearer than this are one level


@dataclass(frozen=True, eq=False)
class Symmetry:
    """A set of lines by its members with falling coordinates.

    falling: (c, m) float64 unit rows. level: (c, m) int64, a coordinate's place among all values.
    strides: (m,) int64. codes: (r,) int64 ascending, the levels of each line as one number.
    row: (r,) int64, the line of each code.
    """

    falling: Tensor
    level: Tensor
    strides: Tensor
    codes: Tensor
    row: Tensor

    def nearest(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) int64 nearest line of each unit row (n, m) >= 0, and (n,) bool where it may tie.

        Equal coordinates are no tie: of the lines that differ there, the lowest is given.
        """
        device, m = unit.device, unit.shape[1]
        # of equal coordinates the last counts as the largest: that gives the lowest line
        fall, place = unit.flip(1).sort(dim=1, descending=True, stable=True)
        place = m - 1 - place
        gap = fall[:, :-1] - fall[:, 1:]
        doubt = ((gap > 0) & (gap < _CLOSE)).any(1)
        across = self.falling.to(device).T.contiguous()
        which = torch.empty(len(unit), dtype=torch.int64, device=device)
        step = max(1, tile(_TILE, device) // across.shape[1])
        for start in range(0, len(unit), step):
            cosine = fall[start : start + step] @ across
            tied = cosine >= cosine.amax(1, keepdim=True) - TIE
            which[start : start + step] = tied.view(torch.uint8).argmax(1)
            doubt[start : start + step] |= tied.sum(1) > 1
        level = torch.empty_like(place).scatter_(1, place, self.level.to(device)[which])
        code = (level * self.strides.to(device)).sum(1)
        return self.row.to(device)[torch.searchsorted(self.codes.to(device), code)], doubt


def symmetry_of(points: Tensor, directions: Tensor) -> Symmetry | None:
    """The symmetry of `points` (r, m) float64 of sum 1, whose unit rows are `directions`.

    None if an order of a point is missing, one is there twice, or the orders of one point do not
    ascend from row to row. On the CPU.
    """
    r, m = points.shape
    values, level = torch.unique((points / _UNIT).round().to(torch.int64), return_inverse=True)
    if len(values) ** m >= 2**62:
        return None
    strides = len(values) ** torch.arange(m - 1, -1, -1, device="cpu")
    codes, row = (level * strides).sum(1).sort()
    kind = (level.sort(dim=1, descending=True).values * strides).sum(1)
    by_kind = kind[row].argsort(stable=True)  # then by code
    ordered = row[by_kind]
    same = kind[ordered[1:]] == kind[ordered[:-1]]
    if bool((codes[1:] == codes[:-1]).any() | (same & (ordered[1:] < ordered[:-1])).any()):
        return None
    falls = (level[:, 1:] <= level[:, :-1]).all(1).nonzero()[:, 0]
    if sum(_n_orders(each) for each in level[falls].tolist()) != r:
        return None
    return Symmetry(directions[falls], level[falls], strides, codes, row)


def _n_orders(levels: list[int]) -> int:
    """How many different orders `levels` has."""
    return factorial(len(levels)) // prod(factorial(levels.count(x)) for x in set(levels))
