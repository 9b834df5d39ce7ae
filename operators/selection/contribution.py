"""The hypervolume that goes with each row of a front (Bader & Zitzler 2011). Knows no survival.

Of n rows, k are to go. The loss of row a is what goes with it if the other k - 1 are drawn at
random, each region shared among the rows that dominate it:

    I(a) = sum_i  alpha_i / i * volume(dominated by a and exactly i - 1 others)
    alpha_i = prod_{j=1}^{i-1} (k - j) / (n - j)

Exact on the grid that two or three objectives span. Otherwise from samples: half of them from the
box that fits all rows, half from each row's own box, which fits what it alone dominates; each
weighs by the density of all boxes together (the balance heuristic of Veach & Guibas 1995), so
that the error is at most that of half as many samples from the common box. More are drawn for
rows that could as well go as stay. Float64, on the device of the rows; deterministic but for the
rounding of sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from operators.selection.tiles import tile

_TILE = 1 << 18  # cells or comparisons held at once on the CPU
_POOL = 1 << 25  # bytes of `Pool.below`
_NOTHING = 1e-18  # a weight beside the first, which is 1
_DOUBT = 2.0  # standard errors within which a row could as well go as stay
_ROUNDS = 3  # doublings from the first samples of a pool to its last


@dataclass(frozen=True, eq=False)
class Pool:
    """Samples of the region that n rows dominate.

    below: (n, s) bool, does the row dominate the sample. count: (s,) int64, how many do.
    density: (s,) float64, samples a unit of volume there.
    """

    below: Tensor
    count: Tensor
    density: Tensor

    def losses(self, count: Tensor, weight: Tensor) -> Tensor:
        """(n,) float64 estimates, unbiased but for the choice to draw more.

        count: (s,) int64, `self.count` less the rows gone since; weight: from `loss_weights`. The
        standard error falls as 1 / sqrt(s).
        """
        return _sums(self.below, weight.index_select(0, count) / self.density)

    def errors(self, weight: Tensor) -> Tensor:
        """(n,) float64 standard errors of `losses`, from the samples themselves; rather too large.

        They count how many samples of a box hit as chance, which drawing per box is not.
        """
        value = weight.index_select(0, self.count) / self.density
        return _sums(self.below, value.square()).sqrt()


def loss_weights(n: int, k: int, device: torch.device) -> Tensor:
    """(n + 1,) float64: alpha_i / i at i, 0 at 0; k of n rows are to go, 1 <= k < n."""
    j = torch.arange(1, n, dtype=torch.float64, device=device)
    alpha = ((k - j) / (n - j)).clamp(min=0.0).cumprod(0)  # 0 for i > k
    weight = torch.ones(n + 1, dtype=torch.float64, device=device)
    weight[0] = 0.0
    weight[2:] = alpha / (j + 1)
    return weight


def reach(n: int, k: int) -> int:
    """How many of `loss_weights(n, k)` after the first 0 are above 1e-18; at most k."""
    share = 1.0  # alpha_i
    for i in range(1, k):
        share *= (k - i) / (n - i)
        if share < _NOTHING * (i + 1):
            return i
    return k


def exact_losses(rows: Tensor, reference: Tensor, weight: Tensor) -> Tensor:
    """(n,) float64 losses of `rows` (n, 2 or 3) float64, none beyond `reference` (m,).

    No row may dominate another. O(n^2) time for two objectives, O(n^3) for three; memory of one
    tile, or O(n^2) for three where that is more. For two objectives the first b + 1 weights will
    do, if those after them are nothing: O(n b) time.
    """
    stairs = _over_stairs if weight.numel() > rows.shape[0] else _over_near_stairs
    swept = _over_slabs if rows.shape[1] == 3 else stairs
    order = rows[:, -1].argsort(stable=True)
    losses = swept(rows[order], reference, weight)
    return torch.empty_like(losses).scatter_(0, order, losses)


def sampled(
    rows: Tensor, reference: Tensor, k: int, n_out: int, n_samples: int, generator: torch.Generator
) -> Pool:
    """A pool of at most `n_samples` for the removal of the first `n_out` of k rows that go.

    rows: (n, m) float64, none beyond `reference` (m,); any device. generator: on the CPU. An
    eighth of the samples comes first; then twice as many each time, until no loss is within two
    standard errors of the border between going and staying; their second half comes from the
    boxes of such rows. A few host synchronisations a round. Samples that more than k rows
    dominate weigh nothing, and never will, and are dropped.
    """
    n, m = rows.shape
    most = max(1, min(n_samples, _POOL // n))
    weight = loss_weights(n, k, rows.device)
    low, whole = rows.amin(0), (reference - rows.amin(0)).prod()
    upper = _alone(rows, reference)
    volume = (upper - rows).prod(1)
    rate = torch.zeros_like(volume)  # samples a unit of volume, from each row's own box
    samples, own = rows[:0], (volume > 0).nonzero()[:, 0]
    n_common, n_drawn, size = 0, 0, -(-most // 2**_ROUNDS)
    while True:
        n_own = size // 2 if own.numel() else 0
        n_common, n_drawn = n_common + size - n_own, n_drawn + size
        unit = torch.rand((size, m), dtype=torch.float64, generator=generator, device="cpu")
        unit = unit.to(rows.device)
        common = low + unit[n_own:] * (reference - low)
        if n_own:
            turn = torch.arange(max(n_own, own.numel()), device=rows.device)
            box = own[turn[:n_own] % own.numel()]
            each = n_own // own.numel() + (turn[: own.numel()] < n_own % own.numel()).double()
            rate[own] += each / volume[own]
            common = torch.cat([common, rows[box] + unit[:n_own] * (upper - rows)[box]])
        samples = torch.cat([samples, common])
        below = _below(rows, samples)
        count = below.sum(0)
        useful = ((count > 0) & (count <= k) & (whole > 0)).nonzero()[:, 0]
        samples, below, count = samples[useful], below[:, useful], count[useful]
        alone = below & _below(-upper, -samples)
        pool = Pool(below, count, n_common / whole + _sums(alone.T, rate))
        size = min(n_drawn, most - n_drawn)
        loss = pool.losses(count, weight)
        border = loss.sort().values[n_out - 1 : n_out + 1].mean()
        doubtful = (loss - border).abs() <= _DOUBT * pool.errors(weight)
        if not size or not bool(doubtful.any()):
            return pool
        own = (doubtful & (volume > 0)).nonzero()[:, 0]


def _over_stairs(rows: Tensor, reference: Tensor, weight: Tensor) -> Tensor:
    """(n,) losses of `rows` (n, 2), sorted by the second objective, so that the first falls.

    The cell in column i and line j is dominated by rows i to j, hence weighs weight[j - i + 1]:
    a matrix whose antidiagonals are constant once a side is reversed, and a view of 2n numbers.
    """
    n = rows.shape[0]
    wide = -torch.diff(rows[:, 0], prepend=reference[:1])
    tall = torch.diff(rows[:, 1], append=reference[1:]).flip(0)
    none = weight.new_zeros(n - 1)
    worth = torch.cat([weight[1:].flip(0), none]).unfold(0, n, 1)  # (i, n - 1 - j)
    holds = torch.cat([torch.ones_like(tall), none]).unfold(0, n, 1)  # i <= j
    total = torch.zeros_like(tall)
    first = 0
    while first < n:
        last = min(n, first + max(1, tile(_TILE, rows.device) // (n - first)))
        above = (worth[first:last, : n - first] * tall[: n - first]).cumsum_(1)
        total[: n - first] += wide[first:last] @ above.mul_(holds[first:last, : n - first])
        first = last
    return total.flip(0)


def _over_near_stairs(rows: Tensor, reference: Tensor, weight: Tensor) -> Tensor:
    """The same from the cells of at most b = len(weight) - 1 rows, all in one band: O(n b) time.

    Rows go in reverse; line i' holds the columns of the last b rows up to it, the farthest first.
    """
    n, b = rows.shape[0], weight.numel() - 1
    wide = -torch.diff(rows[:, 0], prepend=reference[:1]).flip(0)
    tall = torch.diff(rows[:, 1], append=reference[1:]).flip(0)
    lines = torch.cat([tall.new_zeros(b - 1), tall]).unfold(0, b, 1)
    worth = weight[1:].flip(0)
    total = tall.new_zeros(n + b - 1)
    step = max(4 * b, tile(_TILE, rows.device) // b)
    for first in range(0, n, step):
        last = min(n, first + step)
        band = tall.new_zeros((last - first + 2 * (b - 1), b))
        own = band[b - 1 : b - 1 + last - first]
        torch.mul(lines[first:last], worth, out=own)
        own.cumsum_(1).mul_(wide[first:last, None])
        slanted = band.as_strided((last - first + b - 1, b), (b, b - 1), b - 1)
        total[first : last + b - 1] += slanted.sum(1)
    return total[b - 1 :].flip(0)


def _over_slabs(rows: Tensor, reference: Tensor, weight: Tensor) -> Tensor:
    """(n,) losses of `rows` (n, 3), sorted by the third objective, swept from the top.

    Below the i-th row only i rows span the grid: a third of its n^3 cells.
    """
    height = torch.diff(rows[:, 2], append=reference[2:])
    total = torch.zeros_like(height)
    top = rows.shape[0]
    while top:
        low = max(0, top - max(1, tile(_TILE, rows.device) // top**2))
        total[:top] += _slabs(rows[:top, :2], height[low:top], reference, weight)
        top = low
    return total


def _slabs(rows: Tensor, height: Tensor, reference: Tensor, weight: Tensor) -> Tensor:
    """(p,) losses of `rows` (p, 2) over t slabs of the third objective: the t topmost.

    height: (t,), lowest first; rows are in the order of the third objective, and the lowest slab
    lies above the first p - t + 1 rows, each next one above one row more.
    """
    p, t = rows.shape[0], height.numel()
    (x, width_x), (y, width_y) = (_columns(rows[:, j], reference[j]) for j in range(2))
    place = torch.arange(p, device=rows.device)
    own_x = (place <= x[-t:].flip(0)[:, None]).to(torch.int32)  # cells of the slabs' own rows,
    own_y = (place <= y[-t:].flip(0)[:, None]).to(torch.int32)  # the topmost first
    count = torch.zeros((t, p, p), dtype=torch.int32, device=rows.device)
    count[0, x, y] = 1
    count[0] = count[0].flip(0, 1).cumsum(0).cumsum(1).flip(0, 1)
    count[1:] = -own_x[:-1, :, None] * own_y[:-1, None, :]
    count = count.cumsum(0, dtype=torch.int32)  # by how many rows each cell is dominated
    worth = weight.index_select(0, count.view(-1)).view(t, p, p)
    worth = worth.mul_(height.flip(0)[:, None, None]).cumsum_(0)  # from the top down to each slab
    across = torch.bmm((own_x * width_x)[:, None], worth)[:, 0]
    own = (across * own_y * width_y).sum(1)
    table = (worth[-1] * width_x[:, None] * width_y).cumsum_(0).cumsum_(1)
    return torch.cat([table[x[:-t], y[:-t]], own.flip(0)])


def _columns(value: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """(p,) int64 place of each value, largest first, and (p,) the gap above each place."""
    down, order = value.sort(descending=True, stable=True)
    number = torch.arange(order.numel(), device=order.device)
    place = torch.empty_like(order).scatter_(0, order, number)
    return place, torch.cat([end[None], down[:-1]]) - down


def _alone(rows: Tensor, reference: Tensor) -> Tensor:
    """(n, m): the far corner of the box around what each row alone dominates, not below the row.

    Along objective j it ends where it meets the first row that is no worse in all others.
    """
    n, m = rows.shape
    place = torch.arange(n, device=rows.device)
    parts = []
    for some in torch.split(place, max(1, tile(_TILE, rows.device) // n)):
        no_worse = (rows <= rows[some, None]).to(torch.int16)  # (t, n, m)
        others = no_worse.sum(2, keepdim=True, dtype=torch.int16) - no_worse
        met = (others == m - 1) & (place != some[:, None])[:, :, None]
        parts.append(torch.where(met, rows, reference).amin(1))
    return torch.maximum(torch.cat(parts), rows)


def _below(rows: Tensor, samples: Tensor) -> Tensor:
    """(n, s) bool: row i is <= sample j in every objective."""
    below = rows[:, 0, None] <= samples[:, 0]
    for j in range(1, rows.shape[1]):
        below &= rows[:, j, None] <= samples[:, j]
    return below


def _sums(mask: Tensor, value: Tensor) -> Tensor:
    """(n,) float64 `mask` (n, s) bool @ `value` (s,), one tile at once."""
    step = max(1, tile(_TILE, mask.device) // max(1, mask.shape[0]))
    total = value.new_zeros(mask.shape[0])
    for part, some in zip(torch.split(mask, step, dim=1), torch.split(value, step)):
        total += part.double() @ some
    return total
