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
    NSGA3,
    PBI,
    RVEA,
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
from tests.contracts.selection import chained, fields, seeded

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


@pytest.mark.parametrize("build", [NSGA3, lambda points: RVEA(points, generations=2)])
def test_points_may_carry_a_gradient(build: Callable[[Tensor], NSGA3 | RVEA]) -> None:
    costs = torch.rand((30, 3), dtype=torch.float64, generator=seeded())
    expected = chained(build(das_dennis(3, 4)), costs, torch.zeros_like(costs[:, 0]))
    selection = build(das_dennis(3, 4).requires_grad_())
    for one, other in zip(chained(selection, costs, torch.zeros_like(costs[:, 0])), expected):
        assert torch.equal(one.indices, other.indices)
        assert not any(each.requires_grad for each in fields(one.state))


def test_weights_of_slots_carry_no_gradient() -> None:
    assert not MOEAD(das_dennis(3, 4).requires_grad_()).weights.requires_grad
