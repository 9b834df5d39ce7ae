"""HypE survival: fronts, then expected hypervolume loss (Bader & Zitzler 2011).

Knows costs, not genomes. Of the front that is cut, the row of least expected loss goes, again and
again, and each time the losses are those of the rows left.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from operators.selection.arguments import FLOATS, check_several_objectives, check_survival
from operators.selection.contribution import exact_losses, loss_weights, reach, sampled
from operators.selection.dominance import ranked
from operators.selection.reference import divisions_for
from operators.selection.selected import Selected

_TIE = 1e-10  # losses this near to the least, relatively, are the least
_EXACT_WORK = 1 << 31  # cells of a whole grid, times rows that go
_NEAR_WORK = 1 << 36  # the same of two objectives, of only the cells that weigh above 1e-18


@dataclass(frozen=True, eq=False)
class HypE:
    """Survival by front, in the cut front by hypervolume. Remembers nothing.

    reference: (m,) float, finite, in the units of the costs: what lies beyond it counts nothing,
    and rows wholly beyond it go first, in random order. None: the worst costs of the cut front,
    and beyond them 1 / H of its range, H the divisions of the Das-Dennis set of about k points
    (Ishibuchi et al. 2018: on a linear front, evenly spread rows are then best).
    n_samples: the most samples of a stage where the volume is not computed exactly.
    Raises ValueError for others.
    """

    reference: Tensor | None = None
    n_samples: int = 1 << 14

    def __post_init__(self) -> None:
        if self.reference is not None:
            _check_reference(self.reference)
        n = self.n_samples
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"HypE got n_samples={n!r}, expected an int of 1 or more.")

    def __call__(
        self,
        costs: Tensor,
        k: int,
        *,
        violation: Tensor | None = None,
        state: object | None = None,
        generator: torch.Generator,
    ) -> Selected:
        """Exactly `k` survivors of `costs` (n, m) float, any device: by front, the last by volume.

        Order: front, then row. Losses within 1e-10 of the least are equal and go at random. A cut
        front of infeasible or non-finite rows is drawn from at random. `state` is not used.
        Cost, for c rows in the cut front of which r go: exact for two objectives, of order r c^2,
        and for three, of order r c^3, while that is <= 2^31 (about 2 s of a core where half of
        1,600 or of 256 rows go, 10 s where one of 1,290 does). For two beyond that of order r c b
        while it is <= 2^36, without regions that more than b rows share, which weigh less than
        1e-18 (b = 54 and 48 s where half of 20,000 go). Else of order r c s with s <= n_samples,
        and c s <= 2^25, samples. Host synchronisations: none a row; of samples, log2(r) stages
        with a few each. generator: on the CPU. Raises ValueError for what does not fit together.
        """
        check_survival(costs, k, violation, generator, "HypE")
        check_several_objectives(costs, "HypE")
        self._check_fits(costs)
        costs = costs.detach()
        rank, feasible, _ = ranked(costs, violation, k)
        rank, order = rank.sort(stable=True)
        last = rank[k - 1]  # the front that reaches k
        sure, cut = order[rank < last], order[rank == last]
        wanted = k - sure.numel()
        if wanted == cut.numel():
            return Selected(order[:k])
        drawn = torch.randperm(cut.numel(), generator=generator, device="cpu")
        shuffled = cut[drawn.to(costs.device)]
        if not bool(feasible[cut[0]]):
            return Selected(torch.cat([sure, shuffled[:wanted]]))
        rows, reference = self._scaled(costs[shuffled].double(), k)
        if _affordable(rows, wanted):
            kept = kept_exactly(rows, reference, wanted)
        else:
            kept = kept_by_samples(rows, reference, wanted, self.n_samples, generator)
        return Selected(torch.cat([sure, shuffled[kept].sort().values]))

    def _scaled(self, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """`rows` (c, m) float64 with their best at 0, and the reference (m,), at 1 or above it.

        Halved on the way: the range of costs near 1e308 would overflow.
        """
        m = rows.shape[1]
        half = rows / 2
        low, ones = half.amin(0), torch.ones(m, dtype=torch.float64, device=rows.device)
        if self.reference is None:
            span = half.amax(0) - low
            margin = 1 / divisions_for(m, max(k, m))
            return (half - low) / torch.where(span > 0, span, 1.0), ones + margin
        span = self.reference.detach().to(rows) / 2 - low
        scaled = ((half - low) / torch.where(span > 0, span, 1.0)).clamp(max=1.0)
        return torch.where(span > 0, scaled, 1.0), ones

    def _check_fits(self, costs: Tensor) -> None:
        if self.reference is not None and self.reference.shape != costs.shape[1:]:
            raise ValueError(
                f"HypE got costs {tuple(costs.shape)} with a reference point for "
                f"{self.reference.numel()} objectives, expected (n, {self.reference.numel()}); "
                "give one coordinate per objective, or None."
            )


def kept_exactly(rows: Tensor, reference: Tensor, k: int) -> Tensor:
    """(k,) int64, ascending: what is left of `rows` (n, 2 or 3) float64; of equals the first go.

    reference: (m,) float64, not below any row. No host synchronisation.
    """
    number = torch.arange(rows.shape[0], device=rows.device)
    near = rows.shape[1] == 2 and rows.shape[0] ** 2 * (rows.shape[0] - k) > _EXACT_WORK
    for left in range(rows.shape[0] - k, 0, -1):
        n = k + left
        weight = loss_weights(n, left, rows.device)
        width = reach(n, left) if near else n
        if 8 * width < n:  # else no quicker
            weight = weight[: width + 1]
        loss = exact_losses(rows, reference, weight)
        place = torch.arange(n - 1, device=rows.device)
        stay = place + (place >= _least(loss))
        rows, number = rows[stay], number[stay]
    return number


def kept_by_samples(
    rows: Tensor, reference: Tensor, k: int, n_samples: int, generator: torch.Generator
) -> Tensor:
    """The same for any number of objectives, from samples; each stage halves what is to go.

    A stage draws anew, in boxes that fit the rows left and how many of them are to go.
    """
    number = torch.arange(rows.shape[0], device=rows.device)
    while number.numel() > k:
        n = number.numel()
        left = n - k
        n_out = (left + 1) // 2
        pool = sampled(rows, reference, left, n_out, n_samples, generator)
        place, count = torch.arange(n, device=rows.device), pool.count
        gone = torch.zeros(n, dtype=torch.bool, device=rows.device)
        for i in range(n_out):
            loss = pool.losses(count, loss_weights(n - i, left - i, rows.device))
            out = _least(loss.masked_fill(gone, torch.inf))
            gone = gone | (place == out)
            count = count - pool.below.index_select(0, out[None])[0].long()
        stay = gone.to(torch.int8).argsort(stable=True)[: n - n_out]
        rows, number = rows[stay], number[stay]
    return number


def _affordable(rows: Tensor, k: int) -> bool:
    """Whether exact losses of `rows` (n, m) are possible, and cost no more than they bring.

    Where half of 1,700 rows of two objectives go they took 1.5 s of a core, samples 14 s, and
    left the larger volume. At the limit of two, some 50,000 rows of which half go, both take
    minutes. At that of three: about 2 s where half of 256 rows go, 10 s where one of 1,290 does.
    """
    n, m = rows.shape
    if m in (2, 3) and n**m * (n - k) <= _EXACT_WORK:
        return True
    return m == 2 and n * (n - k) * reach(n, n - k) <= _NEAR_WORK


def _least(loss: Tensor) -> Tensor:
    """() int64: the first of the least, which a device's rounding does not change."""
    return (loss <= loss.amin() * (1 + _TIE)).to(torch.int8).argmax()


def _check_reference(reference: Tensor) -> None:
    if not isinstance(reference, Tensor) or reference.ndim != 1:
        came = (
            tuple(reference.shape) if isinstance(reference, Tensor) else type(reference).__name__
        )
        raise ValueError(
            f"HypE got reference {came}, expected a float tensor (m,) in the units of the costs; "
            "None takes it from the data."
        )
    if reference.dtype not in FLOATS or not bool(torch.isfinite(reference).all()):
        raise ValueError(
            f"HypE got a reference of {reference.dtype} with values {reference.tolist()}, "
            "expected finite floats; None takes it from the data."
        )
