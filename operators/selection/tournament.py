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


@dataclass(frozen=True)
class Tournament:
    """Parents by tournaments of `size` rows; size 1 draws parents uniformly."""

    size: int = 2

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"Tournament got size={self.size!r}, expected an int of 1 or more.")

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
        check_generator(generator, "Tournament")
        n = costs.shape[0]
        if (
            n == 0
            or isinstance(n_parents, bool)
            or not isinstance(n_parents, int)
            or n_parents < 1
        ):
            raise ValueError(
                f"Tournament was asked for n_parents={n_parents!r} of {n} rows, expected an int "
                "of 1 or more and at least one row; tell some founders first."
            )
        drawn = torch.randint(n, (n_parents, self.size), generator=generator).to(costs.device)
        winner = fronts(costs)[drawn].argmin(1, keepdim=True)  # the first drawn of equals
        return drawn.gather(1, winner)[:, 0]
