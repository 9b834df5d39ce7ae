"""The nearest weights of each weight: who mates and competes in MOEA/D. Knows no costs.

Exact, and the same on every device: squared distances are summed from left to right and rounded
to 1e-12, so that the many equal distances of a lattice are equal, and then go by row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from operators.selection.tiles import tile

_TILE = 1 << 19  # float64 numbers held at once on the CPU
_SAME = 1e-12  # the unit of squared distances between weights of sum 1


def neighbourhoods(weights: Tensor, width: int) -> Tensor:
    """(r, width) int64 rows of the nearest weights of each, itself first, then nearest first.

    weights: (r, m) float64 in [0, 1], any device; 1 <= width <= r. Equal distances: the lowest
    row. O(r^2 m) time at worst, O(r width) memory and a tile.

    Sorted by their first coordinate, `width` weights around each bound its distances; what is
    farther in that coordinate alone is not looked at, which on a lattice is nearly everything.
    """
    r = weights.shape[0]
    order = weights[:, 0].argsort(stable=True)
    columns = weights[order].T.contiguous()
    place = torch.arange(r, device=weights.device)
    bound = torch.full((r,), torch.inf, dtype=torch.float64, device=weights.device)
    for back in (0, width // 2, width - 1):  # a lattice's rows jump where its lines end
        start = (place - back).clamp(0, r - width)
        around = start[:, None] + torch.arange(width, device=weights.device)
        bound = torch.minimum(bound, _squares(columns, place[:, None], around).amax(1))
    reach = (bound + 2 * _SAME).sqrt()
    low = torch.searchsorted(columns[0], columns[0] - reach).tolist()
    high = torch.searchsorted(columns[0], columns[0] + reach, right=True).tolist()
    near = torch.empty((r, width), dtype=torch.int64, device=weights.device)
    step = max(1, tile(_TILE, weights.device) // r)
    for first in range(0, r, step):
        last = min(r, first + step)
        own = place[first:last, None]
        others = place[min(low[first:last]) : max(high[first:last])]
        square = _squares(columns, own, others)
        key = (square / _SAME).round().to(torch.int64) * r + order[others]  # all different
        key = torch.where(own == others, -1, key)
        found = key.topk(width, dim=1, largest=False, sorted=True).indices
        near[order[first:last]] = order[others[found]]
    return near


def _squares(columns: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """Squared distances between the weights `i` and `j`, broadcast; columns: (m, r)."""
    total = torch.zeros((), dtype=torch.float64, device=columns.device)
    for column in columns:
        gap = column[i] - column[j]
        total = total + gap * gap
    return total
