"""RVEA survival (Cheng, Jin, Olhofer & Sendhoff 2016). Knows costs, not genomes.

Each reference vector keeps the row of its own with the least angle-penalised distance (alg. 3,
eq. 8-10), and the vectors follow the objectives' ranges (alg. 4). Beyond the paper: exactly k
survive, and feasible rows go before infeasible ones everywhere, not only within a vector.
What it remembers goes out and comes in as explicit state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from operators.selection.arguments import check_several_objectives, check_survival, checked_points
from operators.selection.association import nearest_line
from operators.selection.dominance import feasibility, fronts
from operators.selection.selected import Selected
from operators.selection.tiles import tile

_TILE = 1 << 18  # float64 numbers held at once on the CPU
_LEAST_SPAN = 1e-100  # of an objective, to the largest: squares of vectors must not vanish
_LEAST_GAP = 1e-12  # radians between vectors: equal ones must not divide by 0


@dataclass(frozen=True, eq=False)
class Adapted:
    """What RVEA remembers, on the device of the costs; blank on the CPU.

    vectors: (r, m) float64 unit rows. gaps: (r,) float64 radians from each to its nearest other.
    generation: () int64, how many calls there were.
    """

    vectors: Tensor
    gaps: Tensor
    generation: Tensor

    @classmethod
    def blank(cls, n_vectors: int, n_objectives: int) -> Self:
        """The memory of nothing seen yet: generation 0, whose vectors are not looked at."""
        vectors = torch.zeros((n_vectors, n_objectives), dtype=torch.float64, device="cpu")
        generation = torch.zeros((), dtype=torch.int64, device="cpu")
        return cls(vectors, vectors[:, 0].clone(), generation)

    def fits(self, n_vectors: int, n_objectives: int) -> bool:
        """Whether it is a memory of so many vectors and objectives."""
        shapes = self.vectors.shape, self.gaps.shape, self.generation.shape
        return shapes == ((n_vectors, n_objectives), (n_vectors,), ())


@dataclass(frozen=True, eq=False)
class RVEA:
    """Survival by angle-penalised distance; costs must have as many columns as `points`.

    points: (r, m) float, finite, not negative, no zero row; e.g. `das_dennis(m, divisions)`.
    generations: how many calls there will be; the penalty grows until then, and stays after.
    alpha: how late it grows. adaptation: after which share of the generations the vectors are
    adapted anew (f_r of the paper). Raises ValueError for others.
    """

    points: Tensor
    generations: int
    alpha: float = 2.0
    adaptation: float = 0.1
    directions: Tensor = field(init=False, repr=False)  # (r, m) float64 unit rows
    gaps: Tensor = field(init=False, repr=False)  # (r,) float64

    def __post_init__(self) -> None:
        points = checked_points(self.points, "RVEA")
        n = self.generations
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(
                f"RVEA got generations={n!r}, expected an int of 1 or more: how many times "
                "survivors will be chosen in the whole run."
            )
        if not self.alpha >= 0 or not 0 < self.adaptation <= 1:
            raise ValueError(
                f"RVEA got alpha={self.alpha!r} and adaptation={self.adaptation!r}, expected a "
                "number of 0 or more and a share of the generations, above 0 and at most 1."
            )
        directions = _unit(points / points.amax(1, keepdim=True))
        object.__setattr__(self, "directions", directions)
        object.__setattr__(self, "gaps", _gaps(directions))

    def __call__(
        self,
        costs: Tensor,
        k: int,
        *,
        violation: Tensor | None = None,
        state: object | None = None,
        generator: torch.Generator,
    ) -> Selected:
        """Exactly `k` survivors of `costs` (n, m) float, any device: the vectors' best first.

        Order: of each vector the row of least angle-penalised distance, by that distance; if
        these are fewer than k, others by front, in a front by their place in their vector, then
        by distance; infeasible rows and those not finite come last, as `fronts` has them. Equals,
        to some 1e-8 of a distance, at random.
        state: None, or the state of the last call. generator: on the CPU.
        O(n r m) time, in tiles; O((n + r) m) memory. Raises ValueError for what does not fit
        together.
        """
        check_survival(costs, k, violation, generator, "RVEA")
        check_several_objectives(costs, "RVEA")
        memory = self._fitting(costs, state)
        feasible, _ = feasibility(costs, violation)
        half = costs.detach().double() / 2  # exact; a difference near 1e308 overflows
        progress = (memory.generation.double() / self.generations).clamp(max=1.0)
        vector, distance = _penalised(half, feasible, memory, progress**self.alpha)
        rows = torch.randperm(costs.shape[0], generator=generator, device="cpu").to(costs.device)
        rows = rows[_rounded(distance)[rows].argsort(stable=True)]
        place = _places(vector, rows, len(self.directions) + 1)
        best = feasible & (place == 0)
        after = torch.ones_like(place)
        if int(best.sum()) < k:
            rows = rows[place[rows].argsort(stable=True)]
            after = fronts(costs, violation, enough=k).clamp(max=costs.shape[0]) + 1
        level = torch.where(best, 0, after)
        survivors = rows[level[rows].argsort(stable=True)][:k]
        return Selected(survivors, self._next(memory, half[survivors], feasible[survivors]))

    def _next(self, memory: Adapted, half: Tensor, feasible: Tensor) -> Adapted:
        """The memory after a generation whose survivors are `half` (k, m), half their costs.

        Adapted in the first generation and every `adaptation` of all after it (alg. 4, line 1).
        """
        period = math.ceil(self.generations * self.adaptation)
        vectors, gaps = memory.vectors, memory.gaps
        if bool((memory.generation % period == 0) & feasible.any()):
            least = torch.where(feasible[:, None], half, torch.inf).amin(0)
            most = torch.where(feasible[:, None], half, -torch.inf).amax(0)
            vectors = _stretched(self.directions.to(half.device), most - least)
            gaps = _gaps(vectors)
        return Adapted(vectors, gaps, memory.generation + 1)

    def _fitting(self, costs: Tensor, state: object | None) -> Adapted:
        """`state` as a memory of these costs, there; ValueError if anything is of others."""
        r, m = self.directions.shape
        if costs.shape[1] != m:
            raise ValueError(
                f"RVEA got costs {tuple(costs.shape)} with points for {m} objectives, expected "
                f"(n, {m}); build it with das_dennis(n_objectives={costs.shape[1]}, ...)."
            )
        if state is None:
            state = Adapted.blank(r, m)
        if not isinstance(state, Adapted) or not state.fits(r, m):
            came = type(state).__name__
            if isinstance(state, Adapted):
                came = ", ".join(f"{name} {tuple(x.shape)}" for name, x in vars(state).items())
                came = f"with {came}"
            raise ValueError(
                f"RVEA got state {came}, expected None or the state that RVEA returned for "
                f"({r}, {m}) points; pass None to start anew."
            )
        generation = state.generation.to(costs.device)
        fresh = generation == 0
        vectors = torch.where(
            fresh, self.directions.to(costs.device), state.vectors.to(costs.device)
        )
        gaps = torch.where(fresh, self.gaps.to(costs.device), state.gaps.to(costs.device))
        return Adapted(vectors, gaps, generation)


def _penalised(
    half: Tensor, feasible: Tensor, memory: Adapted, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """(n,) int64 vector of each row and (n,) float64 its angle-penalised distance.

    Rows that are not feasible belong to vector r, at distance 0.
    eq. 8-10: (1 + m weight angle / gap) length, here as a share of the largest coordinate. Each
    row is scaled by its own first, so that squares of 1e-300 and 1e300 do not matter.
    """
    least = torch.where(feasible[:, None], half, torch.inf).amin(0)
    above = torch.where(feasible[:, None], half - least, 0.0)
    largest = above.amax(1, keepdim=True)
    unit = above / torch.where(largest > 0, largest, 1.0)
    vector, off = nearest_line(unit, memory.vectors)
    along = (unit * memory.vectors[vector]).sum(1)
    angle = torch.atan2(off, along)
    overall = largest.amax()
    length = unit.norm(dim=1) * (largest[:, 0] / torch.where(overall > 0, overall, 1.0))
    penalty = half.shape[1] * weight * angle / memory.gaps[vector]
    vector = torch.where(feasible, vector, len(memory.vectors))
    return vector, (1 + penalty) * length


def _rounded(distance: Tensor) -> Tensor:
    """(n,) int64 in the order of `distance` (n,) float64 >= 0, rounded to 26 bits after the first.

    The last bits of an angle hang on the device and on the place in the tensor: equal rows, and
    rows that mirror each other, would go by these and not at random.
    """
    return (distance.view(torch.int64) + (1 << 25)) >> 26


def _places(vector: Tensor, rows: Tensor, n_vectors: int) -> Tensor:
    """(n,) int64: the place of each row among those of its vector, in the order of `rows`."""
    grouped = rows[vector[rows].argsort(stable=True)]
    counts = torch.bincount(vector, minlength=n_vectors)
    start = counts.cumsum(0) - counts
    index = torch.arange(rows.numel(), device=rows.device)
    return torch.empty_like(rows).scatter(0, grouped, index - start[vector[grouped]])


def _stretched(directions: Tensor, span: Tensor) -> Tensor:
    """(r, m) unit rows: `directions` times the objectives' spans (m,), eq. 11.

    An objective without a span counts as one of the largest: its vectors stay apart.
    """
    largest = span.amax()
    share = span / torch.where(largest > 0, largest, 1.0)
    share = torch.where(span > 0, share.clamp(min=_LEAST_SPAN), 1.0)
    return _unit(directions * share)


def _unit(rows: Tensor) -> Tensor:
    unit: Tensor = rows / rows.norm(dim=1, keepdim=True)
    return unit


def _gaps(vectors: Tensor) -> Tensor:
    """(r,) float64 radians from each unit row of `vectors` to the nearest other, at least 1e-12.

    A right angle if there is no other. From the chord, which is exact for small angles.
    """
    r = vectors.shape[0]
    if r == 1:
        return torch.full_like(vectors[:, 0], math.pi / 2)
    across = vectors.T.contiguous()
    row = torch.arange(r, device=vectors.device)
    parts = []
    for rows in torch.split(row, max(1, tile(_TILE, vectors.device) // r)):
        cosine = vectors[rows] @ across
        nearest = cosine.scatter(1, rows[:, None], -torch.inf).argmax(1)
        chord = (vectors[rows] - vectors[nearest]).norm(dim=1)
        parts.append(2 * torch.asin((chord / 2).clamp(max=1.0)))
    return torch.cat(parts).clamp(min=_LEAST_GAP)
