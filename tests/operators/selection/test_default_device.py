"""What draws or remembers on the CPU does so whatever `torch.set_default_device`.

Selections and matings have this in their contracts; this is the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from operators.selection import (
    MOEAD,
    NSGA3,
    RVEA,
    Novelty,
    contenders,
    das_dennis,
    gd,
    hypervolume,
    igd,
    igd_plus,
    novelty,
    reference_points,
    riesz,
    sharded_fronts,
    two_layer,
)
from operators.selection.moead import Seen
from operators.selection.niching import random_keys
from operators.selection.rvea import Adapted
from tests.contracts.selection import seeded

COSTS = torch.rand((30, 3), dtype=torch.float64, generator=seeded())
END = torch.ones(3, dtype=torch.float64)
SLOTS = torch.arange(15)
PLACING = MOEAD(das_dennis(3, 4), 5)


def placed() -> list[Tensor]:
    found = PLACING(COSTS[:15], COSTS[15:], SLOTS, generator=seeded())
    again = PLACING(COSTS[:15], COSTS[15:], SLOTS, state=found.state, generator=seeded())
    return [found.indices, found.state.ideal, again.indices]


def shards() -> list[Tensor]:
    found = contenders(torch.split(COSTS, 10), 9, torch.split(COSTS[:, 0], 10))
    assert found.violation is not None
    return [
        found.costs,
        found.rows,
        found.violation,
        *sharded_fronts(torch.split(COSTS, 10), enough=9),
    ]


CALLS: dict[str, Callable[[], Sequence[Tensor]]] = {
    "novelty": lambda: [novelty(COSTS, COSTS[:4]), novelty(COSTS[:1])],
    "Novelty": lambda: [Novelty()(COSTS, 9, generator=seeded()).indices],
    "MOEAD": placed,
    "MOEAD's parents": lambda: [PLACING.parents(SLOTS, generator=seeded())],
    "a new MOEAD": lambda: [MOEAD(das_dennis(3, 4), 5).near],
    "a new RVEA": lambda: [RVEA(das_dennis(3, 4), generations=9).gaps],
    "a new NSGA3": lambda: [NSGA3(das_dennis(5, 3)).directions, NSGA3(das_dennis(3, 20)).points],
    "blank memories": lambda: [*vars(Seen.blank(3)).values(), *vars(Adapted.blank(5, 3)).values()],
    "shards": shards,
    "keys": lambda: random_keys(9, seeded(), COSTS.device),
    "indicators": lambda: [f(COSTS[:9], COSTS) for f in (igd, igd_plus, gd)],
    "volume": lambda: [hypervolume(COSTS, END), hypervolume(COSTS[:0], END)],
    "estimated volume": lambda: [hypervolume(COSTS, END, n_samples=99, generator=seeded())],
    "Das-Dennis": lambda: [das_dennis(3, 4), two_layer(4, 2, 1)],
    "Riesz": lambda: [riesz(3, 11, steps=20)],
    "points": lambda: [reference_points(n, m) for n, m in ((10, 3), (30, 5), (37, 8))],
}


@pytest.mark.parametrize("name", CALLS)
def test_another_default_device(name: str) -> None:
    expected = CALLS[name]()
    with torch.device("meta"):  # stands for "cuda", which is not everywhere
        found = CALLS[name]()
    assert len(found) == len(expected)
    assert all(map(torch.equal, found, expected))
