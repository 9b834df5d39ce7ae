"""Truncation: the k best of one objective. Knows costs, not genomes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from operators.selection.arguments import check_survival
from operators.selection.dominance import feasibility
from operators.selection.selected import Selected


@dataclass(frozen=True)
class Truncation:
    """Survival of the least costs; infeasible rows after these, by violation. No memory."""

    def __call__(
        self,
        costs: Tensor,
        k: int,
        *,
        violation: Tensor | None = None,
        state: object | None = None,
        generator: torch.Generator,
    ) -> Selected:
        """Exactly `k` survivors of `costs` (n, 1) float, any device, best first.

        Order: feasible by cost, infeasible by violation, then what is not finite; equal ones at
        random. `state` is not used. generator: on the CPU. Raises ValueError for what does not
        fit together.
        """
        check_survival(costs, k, violation, generator, "Truncation")
        if costs.shape[1] != 1:
            raise ValueError(
                f"Truncation got costs {tuple(costs.shape)}, expected one objective (n, 1); use "
                "NSGA2() or NSGA3(das_dennis(n_objectives, divisions)) for several."
            )
        feasible, valid = feasibility(costs, violation)
        rows = torch.randperm(len(costs), generator=generator, device="cpu").to(costs.device)
        key = costs[:, 0]
        if bool(feasible.all()):  # nearly always: one sort will do
            return Selected(rows[key[rows].argsort(stable=True)[:k]])
        key = key.double().where(feasible, 0.0)
        if violation is not None:
            key = key.where(feasible | ~valid, violation.double())
        rows = rows[key[rows].argsort(stable=True)]
        group = 2 - valid.long() - feasible.long()  # feasible, infeasible, not finite
        return Selected(rows[group[rows].argsort(stable=True)[:k]])
