"""Costs may come with a gradient: it is not followed, and nothing warns.

Selections have this in their contract; this is the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from operators.selection import (
    MOEAD,
    PBI,
    Novelty,
    contenders,
    das_dennis,
    gd,
    hypervolume,
    igd,
    igd_plus,
    novelty,
    sharded_fronts,
)
from tests.contracts.selection import seeded

FRONT = torch.rand((9, 3), dtype=torch.float64, generator=seeded(1))


def placed(costs: Tensor) -> list[Tensor]:
    slots = torch.arange(15)
    found = MOEAD(das_dennis(3, 4), 5, PBI())(
        costs[:15],
        costs[15:],
        slots,
        violation=costs[:15, 0] - 0.5,
        offspring_violation=costs[15:, 0] - 0.5,
        generator=seeded(),
    )
    return [found.indices, found.state.ideal]


def shards(costs: Tensor) -> list[Tensor]:
    parts, violations = torch.split(costs, 10), torch.split(costs[:, 0] - 0.5, 10)
    found = contenders(parts, 9, violations)
    assert found.violation is not None
    ranks = sharded_fronts(parts, violations, 9)
    return [found.rows, found.costs, found.violation, *ranks]


CALLS: dict[str, Callable[[Tensor], Sequence[Tensor]]] = {
    "MOEAD": placed,
    "novelty": lambda costs: [novelty(costs, costs[:4])],
    "Novelty": lambda costs: [Novelty()(costs, 9, generator=seeded()).indices],
    "distances": lambda costs: [f(costs, FRONT) for f in (igd, igd_plus, gd)],
    "distances to it": lambda costs: [f(FRONT, costs) for f in (igd, igd_plus, gd)],
    "volume": lambda costs: [hypervolume(costs[1:], costs[0] + 1)],
    "estimated volume": lambda costs: [
        hypervolume(costs[1:], costs[0] + 1, n_samples=99, generator=seeded())
    ],
    "shards": shards,
}


@pytest.mark.parametrize("name", CALLS)
def test_follows_no_gradient(name: str) -> None:
    costs = torch.rand((30, 3), dtype=torch.float64, generator=seeded())
    expected = CALLS[name](costs)
    found = CALLS[name](costs.requires_grad_())
    assert not any(each.requires_grad for each in found)
    assert all(map(torch.equal, found, expected))
