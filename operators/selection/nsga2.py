"""NSGA-II survival: fronts, then crowding distance (Deb et al. 2002). Knows costs, not genomes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from operators.selection.arguments import check_several_objectives, check_survival
from operators.selection.dominance import UNRANKED, fronts
from operators.selection.selected import Selected


@dataclass(frozen=True)
class NSGA2:
    """Survival by front, in a front by crowding distance. Remembers nothing."""

    def __call__(
        self,
        costs: Tensor,
        k: int,
        *,
        violation: Tensor | None = None,
        state: object | None = None,
        generator: torch.Generator,
    ) -> Selected:
        """Exactly `k` survivors of `costs` (n, m) float, any device: least crowded first.

        Order: front, then crowding distance, equal ones at random. `state` is not used.
        generator: on the CPU. Raises ValueError for what does not fit together.
        """
        check_survival(costs, k, violation, generator, "NSGA2")
        check_several_objectives(costs, "NSGA2")
        rank = fronts(costs, violation, enough=k)
        rows = (rank != UNRANKED).nonzero()[:, 0]
        drawn = torch.randperm(rows.numel(), generator=generator, device="cpu")
        rows = rows[drawn.to(costs.device)]
        distance = crowding(costs, rank)
        rows = rows[distance[rows].argsort(descending=True, stable=True)]
        rows = rows[rank[rows].argsort(stable=True)]
        return Selected(rows[:k])


def crowding(costs: Tensor, rank: Tensor) -> Tensor:
    """(n,) float64 crowding distance of each row within its front; infinite at the ends.

    costs: (n, m) float; rank: (n,) int64 as from `fronts`. Equal costs keep the order of their
    rows, so of equal rows at an end the first has the infinite distance. An objective that is
    constant in a front adds nothing there, and rows that are not finite have distance 0.
    """
    finite = torch.isfinite(costs).all(1, keepdim=True)
    half = torch.where(
        finite, costs.detach().double() / 2, 0.0
    )  # exact; a range near 1e308 overflows
    distance = torch.zeros(costs.shape[0], dtype=torch.float64, device=costs.device)
    if not costs.shape[0]:
        return distance
    for column in half.unbind(1):
        order = column.argsort(stable=True)
        order = order[rank[order].argsort(stable=True)]
        value, front = column[order], rank[order]
        lower = torch.cat([value[:1], value[:-1]])
        upper = torch.cat([value[1:], value[-1:]])
        head = torch.ones_like(front, dtype=torch.bool)
        head[1:] = front[1:] != front[:-1]
        tail = head.roll(-1)  # the last row is a tail as the first is a head
        number = head.cumsum(0) - 1
        span = (value[tail] - value[head])[number]
        gap = torch.where(head | tail, torch.inf, (upper - lower) / span)
        distance[order] += torch.where(span > 0, gap, 0.0)
    return distance
