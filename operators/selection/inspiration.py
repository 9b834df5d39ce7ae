"""One parent and its inspirations: the best and the most different, by turns. Knows costs only.

For operators that show further parents to a language model beside the one to change. Mixing top
and diverse programs in one prompt is AlphaEvolve's and its relatives' (Novikov et al. 2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from operators.selection.arguments import check_costs
from operators.selection.dominance import fronts
from operators.selection.normalisation import normalised
from operators.selection.tournament import draw


@dataclass(frozen=True)
class Inspired:
    """A parent by a tournament of `size` rows, then others, no row twice while some are left.

    The second is of the lowest front that is left, the third the farthest from all chosen before
    it in costs scaled to their range, the fourth again of the lowest front, and so on.
    """

    size: int = 2

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"Inspired got size={self.size!r}, expected an int of 1 or more.")

    def __call__(
        self,
        costs: Tensor,
        samples: Sequence[np.ndarray] | None,
        n_parents: int,
        *,
        generator: torch.Generator,
    ) -> Tensor:
        """(n_parents,) int64 rows of `costs` (n, m) float, on their device.

        Equals are chosen at random. Once every row is chosen all may be again. A row with a cost
        that is not finite is on the last front, and far from nothing. `samples` is not used.
        generator: on the CPU. Ranks there, of order n m n_parents. Raises ValueError for what
        does not fit together.
        """
        check_costs(costs, "Inspired")
        drawn = draw(costs, n_parents, self.size, generator, "Inspired")[0].cpu()
        rank = fronts(costs).cpu()
        scaled, finite = _scaled(costs)
        n = len(rank)
        rows = [int(drawn[rank[drawn].argmin()])]
        free = torch.ones(n, dtype=torch.bool, device="cpu")
        while len(rows) < n_parents:
            free[rows[-1]] = False
            if not free.any():
                free[:] = True
            order = torch.randperm(n, generator=generator, device="cpu")
            left = order[free[order]]
            if len(rows) % 2:
                rows.append(int(left[rank[left].argmin()]))
            else:
                gaps = (scaled[left, None] - scaled[rows]).square().sum(2).amin(1)
                rows.append(int(left[gaps.where(finite[left], -1.0).argmax()]))
        return torch.tensor(rows, device="cpu").to(costs.device)


def _scaled(costs: Tensor) -> tuple[Tensor, Tensor]:
    """(n, m) float64 in [0, 1], each cost over the range of finite rows, and (n,) bool finite."""
    table = costs.detach().cpu().double()
    finite = table.isfinite().all(1)
    known = table[finite]
    if not len(known):
        return torch.zeros_like(table), finite
    scaled = normalised(table, known.amin(0), known.amax(0))
    return scaled.where(finite[:, None], 0.0), finite
