"""MOEA/D survival (Zhang & Li 2007), all slots at once. Knows costs, not genomes.

No `Selection`: each slot has its own weight and keeps one individual, so an individual may sit in
several slots, and offspring say for which slot they were made. Here a whole generation of
offspring is placed at once: the ideal point is updated once, each offspring is offered to the
neighbours of its slot, and each slot takes the best of what it holds and what it is offered (the
paper goes through the slots one by one). How many slots one offspring may enter is not limited
(n_r of Li & Zhang 2009): limits of 1, 2 and 4 gave no better IGD on DTLZ1, DTLZ2, ZDT1 and ZDT4,
where 1 slowed the search; on DTLZ4 a limit of 2 lost 4 runs of 40 and none lost 8, within chance.
Scales of objectives are the caller's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from operators.selection.arguments import (
    check_costs,
    check_generator,
    check_several_objectives,
    check_violation,
    checked_points,
)
from operators.selection.decomposition import Decomposition, summed, tchebycheff
from operators.selection.dominance import feasibility
from operators.selection.neighbourhood import neighbourhoods
from operators.selection.tiles import tile

_TILE = 1 << 19  # float64 numbers held at once on the CPU


@dataclass(frozen=True, eq=False)
class Seen:
    """What MOEA/D remembers. ideal: (m,) float64, the least feasible cost of each objective."""

    ideal: Tensor

    @classmethod
    def blank(cls, n_objectives: int) -> Self:
        """The memory of nothing seen yet: +inf, on the CPU."""
        none = torch.full((n_objectives,), torch.inf, dtype=torch.float64, device="cpu")
        return cls(none)


@dataclass(frozen=True, eq=False)
class Placed:
    """Who sits in each slot, and what the algorithm remembers for its next call.

    indices: (p,) int64 rows of cat([costs, offspring]), slot by slot, with repeats; on the device
    of the costs.
    """

    indices: Tensor
    state: Seen


@dataclass(frozen=True, eq=False)
class MOEAD:
    """Survival slot by slot; slot i minimises the costs decomposed by row i of `points`.

    points: (p, m) float, finite, not negative, no zero row; one weight a slot, p the population's
        size; on the device where the costs will be, or moved there at each call.
    neighbours: how many nearest weights a slot mates and competes with, itself among them; at
        most p count. The table of them is built here once: O(p^2 m) time in tiles.
    decomposition: makes one number, to be minimised, of costs above the ideal point (..., m) and
        weights (..., m) of sum 1: `tchebycheff`, `PBI(theta)`, or any other such function.
    locality: the chance that parents come from the neighbourhood, not from everywhere (delta of
        Li & Zhang 2009).
    Raises ValueError for others.
    """

    points: Tensor
    neighbours: int = 20
    decomposition: Decomposition = tchebycheff
    locality: float = 0.9
    weights: Tensor = field(init=False, repr=False)  # (p, m) float64, rows of sum 1
    near: Tensor = field(init=False, repr=False)  # (p, t) int64, each slot's own first

    def __post_init__(self) -> None:
        points = checked_points(self.points, "MOEAD")
        n = self.neighbours
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"MOEAD got neighbours={n!r}, expected an int of 1 or more.")
        if not 0 <= self.locality <= 1:
            raise ValueError(f"MOEAD got locality={self.locality!r}, expected a chance, 0 to 1.")
        shares = points / points.amax(1, keepdim=True)
        weights = shares / summed(shares)[:, None]
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "near", neighbourhoods(weights, min(n, len(weights))))

    def parents(self, slots: Tensor, *, generator: torch.Generator) -> Tensor:
        """(q, 2) int64 slots of the parents of an offspring for each of `slots` (q,) int64.

        With the chance `locality` from the slot's neighbourhood, else from all slots; uniform,
        and distinct where there are two. generator: on the CPU.
        """
        check_generator(generator, "MOEAD")
        self._check_slots(slots)
        (p, width), q = self.near.shape, slots.numel()
        place = _two_of(width, q, generator).to(slots.device)
        anywhere = _two_of(p, q, generator).to(slots.device)
        dice = torch.rand(q, 1, generator=generator, dtype=torch.float64, device="cpu")
        nearby = self.near.to(slots.device)[slots].gather(1, place)
        return torch.where((dice < self.locality).to(slots.device), nearby, anywhere)

    def __call__(
        self,
        costs: Tensor,
        offspring: Tensor,
        slots: Tensor,
        *,
        violation: Tensor | None = None,
        offspring_violation: Tensor | None = None,
        state: object | None = None,
        generator: torch.Generator,
    ) -> Placed:
        """Who sits in each slot after `offspring` (q, m) float made for `slots` (q,) int64.

        costs: (p, m) float of the slots in order, of the offspring's dtype and device.
        A slot changes hands only to an offspring that is strictly better there: feasible beats
        infeasible beats not finite, less violation beats more, and of feasible ones the lesser
        decomposed cost. Equal offspring: the lowest row. The same bits on every device.
        state: None, or the state of the last call; it follows the feasible rows only.
        generator: on the CPU; nothing is drawn from it. O((p + q) t) time and memory.
        Raises ValueError for what does not fit together.
        """
        memory = self._fitting(costs, offspring, state)
        check_violation(violation, costs, "MOEAD")
        check_violation(offspring_violation, offspring, "MOEAD's offspring")
        check_generator(generator, "MOEAD")
        self._check_slots(slots, offspring)
        penalty = torch.cat([_penalty(costs, violation), _penalty(offspring, offspring_violation)])
        feasible = (penalty == 0)[:, None]
        exact = torch.cat([costs, offspring]).detach().double()
        ideal = torch.where(feasible, exact, torch.inf).amin(0)
        ideal = torch.minimum(ideal, memory.ideal.to(costs.device))
        # halved, which is exact: a difference near 1e308 overflows
        above = torch.where(feasible, exact / 2 - ideal / 2, 0.0)
        p = costs.shape[0]
        old_penalty, new_penalty = penalty[:p], penalty[p:]
        own = torch.arange(p, device=costs.device)
        offered, weights = self.near.to(costs.device)[slots], self.weights.to(costs.device)
        held = self._decomposed(above[:p], old_penalty, own[:, None], weights)[:, 0]
        value = self._decomposed(above[p:], new_penalty, offered, weights)
        entrant, charge, least = _best(offered, new_penalty, value, p)
        better = (charge < old_penalty) | ((charge == old_penalty) & (least < held))
        return Placed(torch.where(better, p + entrant, own), Seen(ideal))

    def _decomposed(
        self, above: Tensor, penalty: Tensor, offered: Tensor, weights: Tensor
    ) -> Tensor:
        """(n, t) of each row in the slots that it is offered to; 0 for rows with a penalty."""
        step = max(1, tile(_TILE, above.device) // (offered.shape[1] * weights.shape[1]))
        parts = [
            self.decomposition(rows[:, None], weights[slots])
            for rows, slots in zip(torch.split(above, step), torch.split(offered, step))
        ]
        value = torch.cat(parts)
        value = torch.where(torch.isnan(value), torch.inf, value)
        return torch.where((penalty == 0)[:, None], value, 0.0)

    def _check_slots(self, slots: Tensor, offspring: Tensor | None = None) -> None:
        """(q,) int64 in range, and one for each of `offspring`, on their device."""
        p, q = self.near.shape[0], "q" if offspring is None else offspring.shape[0]
        flat = isinstance(slots, Tensor) and slots.ndim == 1 and slots.dtype == torch.int64
        if not flat or (offspring is not None and slots.shape[0] != q):
            came = type(slots).__name__
            if isinstance(slots, Tensor):
                came = f"{tuple(slots.shape)} {slots.dtype}"
            raise ValueError(
                f"MOEAD got slots {came}, expected ({q},) torch.int64: for which slot each "
                "offspring is made."
            )
        if offspring is not None and slots.device != offspring.device:
            raise ValueError(
                f"MOEAD got slots on {slots.device} with costs on {offspring.device}, expected "
                "the same; use slots.to(costs.device)."
            )
        if slots.numel() and bool((slots < 0).any() | (slots >= p).any()):
            raise ValueError(
                f"MOEAD got slots from {int(slots.min())} to {int(slots.max())}, expected 0 to "
                f"{p - 1}: it was built with {p} points."
            )

    def _fitting(self, costs: Tensor, offspring: Tensor, state: object | None) -> Seen:
        """`state` as a memory of these costs; ValueError if anything is of other sizes."""
        check_costs(costs, "MOEAD")
        check_several_objectives(costs, "MOEAD")
        check_costs(offspring, "MOEAD's offspring")
        p, m = self.points.shape
        if costs.shape != (p, m) or offspring.shape[1] != m:
            raise ValueError(
                f"MOEAD got costs {tuple(costs.shape)} and offspring {tuple(offspring.shape)}, "
                f"expected ({p}, {m}) and (q, {m}): it was built with {p} points of {m} "
                "objectives, one a slot."
            )
        if offspring.dtype != costs.dtype or offspring.device != costs.device:
            raise ValueError(
                f"MOEAD got offspring in {offspring.dtype} on {offspring.device} with costs in "
                f"{costs.dtype} on {costs.device}, expected the same; use offspring.to(costs)."
            )
        if state is None:
            return Seen.blank(m)
        if not isinstance(state, Seen) or state.ideal.shape != (m,):
            came = type(state).__name__
            if isinstance(state, Seen):
                came = f"a memory of {state.ideal.numel()} objectives"
            raise ValueError(
                f"MOEAD got state {came}, expected None or the state that MOEAD returned for "
                f"{m} objectives; pass None to start anew."
            )
        return state


def _two_of(n: int, q: int, generator: torch.Generator) -> Tensor:
    """(q, 2) int64 drawn from 0 .. n - 1, distinct if n > 1."""
    first = torch.randint(n, (q,), generator=generator, device="cpu")
    if n == 1:
        return torch.stack([first, first], 1)
    step = torch.randint(1, n, (q,), generator=generator, device="cpu")
    return torch.stack([first, (first + step) % n], 1)


def _penalty(costs: Tensor, violation: Tensor | None) -> Tensor:
    """(n,) float64: 0 for feasible rows, else the violation, infinite if a row is not finite."""
    _, valid = feasibility(costs, violation)
    amount = torch.zeros(costs.shape[0], dtype=torch.float64, device=costs.device)
    if violation is not None:
        amount = violation.detach().double().clamp(0.0, torch.finfo(torch.float64).max)
    return torch.where(valid, amount, torch.inf)


def _best(
    offered: Tensor, penalty: Tensor, value: Tensor, n_slots: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The best offspring of each slot: its row, penalty and value (p,); infinite where none is.

    offered: (q, t) int64 slots that each offspring is offered to; penalty: (q,); value: (q, t).
    Minima of numbers, whatever their order: no race between equals.
    """
    q, width = offered.shape
    slot, amount = offered.flatten(), value.flatten()
    charge = penalty[:, None].expand(q, width).flatten()
    row = torch.arange(q, device=offered.device)[:, None].expand(q, width).flatten()
    infinite = torch.full((n_slots,), torch.inf, dtype=torch.float64, device=offered.device)
    least_penalty = infinite.scatter_reduce(0, slot, charge, "amin")
    tied = charge == least_penalty[slot]
    least = infinite.scatter_reduce(0, slot, torch.where(tied, amount, torch.inf), "amin")
    tied = tied & (amount == least[slot])
    entrant = torch.full((n_slots,), q, dtype=torch.int64, device=offered.device)
    entrant = entrant.scatter_reduce(0, slot, torch.where(tied, row, q), "amin")
    return entrant, least_penalty, least
