"""NSGA-III survival (Deb & Jain 2014, alg. 1-4; constraints: Jain & Deb 2014).

Knows costs, not genomes. What it remembers goes out and comes in as explicit state.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from operators.selection.arguments import check_several_objectives, check_survival, checked_points
from operators.selection.association import Finder, finder_of, nearest_line
from operators.selection.dominance import ranked
from operators.selection.niching import niched, random_keys
from operators.selection.normalisation import Memory, nadir, normalised, remembered
from operators.selection.selected import Selected


@dataclass(frozen=True, eq=False)
class NSGA3:
    """Survival that fills niches around reference points; costs must have as many columns.

    points: (r, m) float, finite, not negative, no zero row; e.g. `das_dennis(m, divisions)`.
    Raises ValueError for others. An objective whose whole range is below about 1e-3 may lose
    niches once a dominated row lies far out (pymoo's does too): scale it, to a range near 1.
    """

    points: Tensor
    directions: Tensor = field(init=False, repr=False)  # (r, m) float64 unit rows, CPU
    finder: Finder = field(init=False, repr=False)

    def __post_init__(self) -> None:
        points = checked_points(self.points, "NSGA3").cpu()
        # by a power of two, which is exact: the squares of a huge or tiny point must exist
        near_one = torch.ldexp(points, -torch.frexp(points.amax(1, keepdim=True)).exponent)
        directions = near_one / near_one.norm(dim=1, keepdim=True)
        object.__setattr__(self, "directions", directions)
        object.__setattr__(self, "finder", finder_of(near_one, directions))

    def __call__(
        self,
        costs: Tensor,
        k: int,
        *,
        violation: Tensor | None = None,
        state: object | None = None,
        generator: torch.Generator,
    ) -> Selected:
        """Exactly `k` survivors of `costs` (n, m) float, any device: by front, the last by niche.

        Order: front, then row; in the front that is cut, the order of the niching, at random
        among equals. A cut front of infeasible or non-finite rows is drawn from at random.
        state: None, or the state of the last call; it follows the feasible rows only.
        generator: on the CPU. Raises ValueError for what does not fit together.
        """
        check_survival(costs, k, violation, generator, "NSGA3")
        check_several_objectives(costs, "NSGA3")
        costs, memory = costs.detach(), self._fitting(costs, state)
        rank, feasible, n_feasible = ranked(costs, violation, k)
        rank, order = rank.sort(stable=True)
        last = rank[k - 1]  # the front that reaches k
        edges = torch.stack([torch.ones_like(last), last, last + 1])
        n_first, n_sure, n_met = torch.searchsorted(rank, edges).tolist()
        met = costs[order[:n_met]].double()
        if n_feasible:
            seen = (costs if n_feasible == len(costs) else costs[feasible]).double()
            memory = remembered(memory, seen, met[:n_first])
        if n_met == k:
            return Selected(order[:k], memory)
        sure, cut = order[:n_sure], order[n_sure:n_met]
        keys = random_keys(len(cut), generator, costs.device)
        if n_sure >= n_feasible:  # the front that is cut is not feasible
            return Selected(torch.cat([sure, cut[keys[0].argsort()[: k - n_sure]]]), memory)
        scaled = normalised(met, memory.ideal, nadir(memory, seen, met[:n_first]))
        niche, distance = nearest_line(scaled, self.directions.to(costs.device), self.finder)
        crowd = torch.bincount(niche[:n_sure], minlength=self.directions.shape[0])
        chosen = niched(niche[n_sure:], distance[n_sure:], crowd, k - n_sure, keys)
        return Selected(torch.cat([sure, cut[chosen]]), memory)

    def _fitting(self, costs: Tensor, state: object | None) -> Memory:
        """`state` as a memory of these costs; ValueError if it, or the points, are of others."""
        m = self.points.shape[1]
        if costs.shape[1] != m:
            raise ValueError(
                f"NSGA3 got costs {tuple(costs.shape)} with reference points for {m} objectives, "
                f"expected (n, {m}); build it with das_dennis(n_objectives={costs.shape[1]}, ...)."
            )
        if state is None:
            return Memory.blank(m)
        if not isinstance(state, Memory) or not state.fits(m):
            came = type(state).__name__
            if isinstance(state, Memory):
                came = f"a memory of {state.ideal.numel()} objectives"
            raise ValueError(
                f"NSGA3 got state {came}, expected None or the state that NSGA3 returned for "
                f"{m} objectives, float64 on the CPU; pass None to start anew."
            )
        return state
