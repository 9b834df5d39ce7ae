"""Novelty: how far a behaviour lies from its nearest others (Lehman & Stanley 2011).

"Abandoning Objectives: Evolution Through the Search for Novelty Alone", eq. 2. Knows measures,
not costs and not genomes; what is kept in the archive is the caller's choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from operators.selection.arguments import check_generator
from operators.selection.selected import Selected
from operators.selection.tiles import tile

_TILE = 1 << 18  # float64 distances held at once on the CPU, where they should stay in cache


def novelty(measures: Tensor, archive: Tensor | None = None, neighbours: int = 15) -> Tensor:
    """(n,) float64 mean Euclidean distance of each row to its nearest others, in both tensors.

    measures: (n, d) float, archive: (a, d) of the same dtype and device, any device. A row is
    not its own neighbour, its exact copies are, at distance 0. Fewer than `neighbours` others:
    the mean over all; none: 0. A row with a NaN or an infinity has -inf, and is nobody's
    neighbour. Time of order n (n + a) d; memory n + a and a few tiles; the host never waits.
    Raises ValueError for what does not fit together.
    """
    _check(measures, archive, neighbours)
    n = len(measures)
    others = measures if archive is None else torch.cat([measures, archive])
    others = others.detach().double()
    sound = others.isfinite().all(1)
    others = torch.where(sound[:, None], others, 0.0)
    unit = others.abs().amax().clamp_(min=torch.finfo(torch.float64).tiny) if n else None
    k = min(neighbours, len(others) - 1)
    if unit is None or k < 1:
        return torch.where(sound[:n], 0.0, -torch.inf).double()
    scaled = others / unit  # squares of 1e200 and of 1e-200 stay in range
    held = tile(_TILE, others.device)
    height = max(1, min(n, held // (k + 1024)))
    parts = [
        _mean_of_nearest(scaled, sound, range(first, min(first + height, n)), k, held)
        for first in range(0, n, height)
    ]
    mean = (torch.cat(parts) * unit).clamp(max=torch.finfo(torch.float64).max)
    return torch.where(sound[:n], mean, -torch.inf)


@dataclass(frozen=True)
class Novelty:
    """Survival of the most novel. Takes measures where a `Selection` takes costs."""

    neighbours: int = 15

    def __post_init__(self) -> None:
        _check_neighbours(self.neighbours, "Novelty")

    def __call__(
        self,
        measures: Tensor,
        k: int,
        *,
        archive: Tensor | None = None,
        generator: torch.Generator,
    ) -> Selected:
        """Exactly `k` rows of `measures` (n, d) float, most novel first, equal ones at random.

        archive: (a, d), also compared with, never selected. Rows that are not finite come last.
        generator: on the CPU. Raises ValueError for what does not fit together.
        """
        check_generator(generator, "Novelty")
        novel = novelty(measures, archive, self.neighbours)
        n = len(measures)
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= n:
            raise ValueError(
                f"Novelty was asked for k={k!r} survivors of {n} rows, expected an int from 1 "
                f"to {n}; give more candidates or a smaller k."
            )
        rows = torch.randperm(n, generator=generator, device="cpu").to(measures.device)
        return Selected(rows[novel[rows].argsort(descending=True, stable=True)[:k]])


def _mean_of_nearest(others: Tensor, sound: Tensor, own: range, k: int, held: int) -> Tensor:
    """(len(own),) mean distance of the rows `own` of `others` to their `k` nearest sound others.

    Squares are summed one measure after another: unlike by a matrix product, copies are at 0.
    """
    rows = others[own.start : own.stop]
    nearest = rows.new_full((len(own), k), torch.inf)
    width = max(1, held // len(own) - k)
    for start in range(0, len(others), width):
        square = rows.new_zeros((len(own), len(others[start : start + width])))
        gap = torch.empty_like(square)
        for mine, theirs in zip(rows.unbind(1), others[start : start + width].unbind(1)):
            torch.sub(mine[:, None], theirs, out=gap)
            square.addcmul_(gap, gap)
        square.masked_fill_(~sound[start : start + width], torch.inf)
        square.diagonal(own.start - start).fill_(torch.inf)  # itself, where the tile has it
        nearest = torch.cat([nearest, square], 1).topk(k, dim=1, largest=False, sorted=False)[0]
    found = nearest.isfinite()
    total = torch.where(found, nearest.sqrt(), 0.0).sum(1)
    return total / found.sum(1).clamp(min=1)


def _check(measures: Tensor, archive: Tensor | None, neighbours: int) -> None:
    if (
        not isinstance(measures, Tensor)
        or measures.ndim != 2
        or not measures.is_floating_point()
        or measures.shape[1] == 0
    ):
        raise ValueError(
            f"novelty got measures {_came(measures)}, expected a float tensor (n, d), d >= 1: one "
            "row a candidate and one column a measure; pass torch.tensor of the scores' measures."
        )
    if archive is not None and (
        not isinstance(archive, Tensor)
        or archive.ndim != 2
        or archive.shape[1] != measures.shape[1]
        or archive.dtype != measures.dtype
        or archive.device != measures.device
    ):
        raise ValueError(
            f"novelty got an archive {_came(archive)} with measures {_came(measures)}, expected "
            f"(a, {measures.shape[1]}) of the same dtype and device; use archive.to(measures)."
        )
    _check_neighbours(neighbours, "novelty")


def _check_neighbours(neighbours: object, who: str) -> None:
    if isinstance(neighbours, bool) or not isinstance(neighbours, int) or neighbours < 1:
        raise ValueError(
            f"{who} got neighbours={neighbours!r}, expected an int of 1 or more; 15 is usual."
        )


def _came(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {value.dtype} on {value.device}"
    return type(value).__name__
