"""Tournament mating: each parent is the best of a few drawn at random (Goldberg & Deb 1991).

Knows costs, not genomes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from operators.selection.arguments import check_costs, check_generator
from operators.selection.dominance import fronts
from operators.selection.normalisation import normalised


@dataclass(frozen=True)
class Tournament:
    """Parents by tournaments of `size` rows; size 1 draws parents uniformly."""

    size: int = 2

    def __post_init__(self) -> None:
        _check_size(self.size, "Tournament")

    def __call__(
        self,
        costs: Tensor,
        samples: Sequence[np.ndarray] | None,
        n_parents: int,
        *,
        generator: torch.Generator,
    ) -> Tensor:
        """(n_parents,) int64 rows of `costs` (n, m) float, on their device; rows may repeat.

        The lowest front wins, with one objective the least cost; equals win at random. Rows are
        drawn with replacement, so any size fits any n >= 1. `samples` is not used.
        generator: on the CPU. Raises ValueError for what does not fit together.
        """
        check_costs(costs, "Tournament")
        drawn = draw(costs, n_parents, self.size, generator, "Tournament")
        if costs.shape[1] == 1:  # the order of its fronts, without ranking
            rank = costs[:, 0].where(costs[:, 0].isfinite(), torch.inf)
        else:
            rank = fronts(costs)
        winner = rank[drawn].argmin(1, keepdim=True)  # the first drawn of equals
        return drawn.gather(1, winner)[:, 0]


@dataclass(frozen=True)
class Balanced:
    """Tournaments won by balance: the smallest sum of costs, each scaled to its range.

    With many objectives most rows share the first front, and `Tournament` hardly chooses; this
    draws births towards the knee, while survival keeps the extremes alive.
    """

    size: int = 3

    def __post_init__(self) -> None:
        _check_size(self.size, "Balanced")

    def __call__(
        self,
        costs: Tensor,
        samples: Sequence[np.ndarray] | None,
        n_parents: int,
        *,
        generator: torch.Generator,
    ) -> Tensor:
        """(n_parents,) int64 rows of `costs` (n, m) float, on their device; rows may repeat.

        As `Tournament`; a row with a cost that is not finite loses to every other.
        """
        check_costs(costs, "Balanced")
        drawn = draw(costs, n_parents, self.size, generator, "Balanced")
        finite = costs.isfinite().all(1)
        known = costs.detach()[finite].double()
        total = torch.full((len(costs),), torch.inf, dtype=torch.float64, device=costs.device)
        if len(known):
            total[finite] = normalised(known, known.amin(0), known.amax(0)).sum(1)
        return drawn.gather(1, total[drawn].argmin(1, keepdim=True))[:, 0]


def draw(costs: Tensor, n_parents: int, size: int, generator: torch.Generator, who: str) -> Tensor:
    """(n_parents, size) int64 rows of `costs`, drawn with replacement, on its device."""
    check_generator(generator, who)
    n = costs.shape[0]
    if n == 0 or isinstance(n_parents, bool) or not isinstance(n_parents, int) or n_parents < 1:
        raise ValueError(
            f"{who} was asked for n_parents={n_parents!r} of {n} rows, expected an int of 1 or "
            "more and at least one row; tell some founders first."
        )
    drawn = torch.randint(n, (n_parents, size), generator=generator, device="cpu")
    return drawn.to(costs.device)


def _check_size(size: object, who: str) -> None:
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"{who} got size={size!r}, expected an int of 1 or more.")
