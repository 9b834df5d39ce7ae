"""One NSGA-III survival as each library gives it: ours, pymoo's, evox's and evomo's.

Each is built for a number of survivors and of objectives, is handed costs, and returns the call
to be clocked; it knows nothing of clocks. All get the same float32 values, in the type that they
work in: ours, evox and evomo a float32 tensor, pymoo a `Population` of float64. Whatever is
converted after that is inside the clock; so are our checks of the arguments.

evox and evomo have no survival to call: their `step` runs as released, its mating, crossover,
mutation and evaluation handed to it as functions that do nothing. pymoo and ours carry their
memory of ideal and extreme points from call to call.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from operators.selection import NSGA3, das_dennis, divisions_for

if TYPE_CHECKING:
    from evox.core import Algorithm

Call = Callable[[], int]
"""One survival; returns the number of survivors."""
Ready = Callable[[Tensor], Call]
"""The call for these costs (n, m) float32; what it does by itself is not clocked."""


class Build(Protocol):
    """A contender for `k` survivors of `m` objectives on `device`."""

    def __call__(self, k: int, m: int, device: torch.device) -> Ready: ...


@dataclass(frozen=True)
class Peer:
    """A library to time ours against, and how much faster than it we mean to be."""

    name: str
    package: str
    install: str
    build: Build
    largest: int  # parents + offspring on a CPU; more takes over 60 s or 12 GB
    on_gpu: bool = False
    goals: Mapping[tuple[int, int], tuple[float, float]] = field(default_factory=dict)
    """(n, m): peer's seconds / ours, at least, for random and for near data."""

    def installed(self) -> str | None:
        """The version, or None."""
        if importlib.util.find_spec(self.package) is None:
            return None
        return importlib.metadata.version(self.package)


def lines(k: int, m: int) -> Tensor:
    """The largest Das-Dennis set of at most `k` points, as evox chooses it too."""
    return das_dennis(m, divisions_for(m, k))


@dataclass
class _Ours:
    selection: NSGA3
    k: int
    generator: torch.Generator
    state: object | None = None

    def ready(self, costs: Tensor) -> Call:
        return partial(self._select, costs)

    def _select(self, costs: Tensor) -> int:
        selected = self.selection(costs, self.k, state=self.state, generator=self.generator)
        self.state = selected.state
        return selected.indices.numel()


def ours(k: int, m: int, device: torch.device) -> Ready:
    """`operators.selection.NSGA3`."""
    points = lines(k, m).to(device)
    return _Ours(NSGA3(points), k, torch.Generator().manual_seed(0)).ready


def pymoo(k: int, m: int, device: torch.device) -> Ready:
    """`ReferenceDirectionSurvival.do`, on the CPU."""
    import numpy as np
    from pymoo.algorithms.moo.nsga3 import ReferenceDirectionSurvival
    from pymoo.core.population import Population
    from pymoo.core.problem import Problem

    survival = ReferenceDirectionSurvival(lines(k, m).numpy())
    problem = Problem(n_var=1, n_obj=m)
    rng = np.random.default_rng(0)

    def ready(costs: Tensor) -> Call:
        population = Population.new(F=costs.double().cpu().numpy())
        return lambda: len(survival.do(problem, population, n_survive=k, random_state=rng))

    return ready


def evox(k: int, m: int, device: torch.device) -> Ready:
    """`evox.algorithms.NSGA3.step`."""
    from evox.algorithms import NSGA3 as EvoxNSGA3

    with _default(device):
        return _stepping(EvoxNSGA3(k, m, torch.zeros(1), torch.ones(1), *_IDLE), device)


def evomo(k: int, m: int, device: torch.device) -> Ready:
    """`evomo.algorithms.NSGA3.step`: the same constructor and buffers as evox's."""
    from evomo.algorithms import NSGA3 as EvomoNSGA3

    with _default(device):
        return _stepping(EvomoNSGA3(k, m, torch.zeros(1), torch.ones(1), *_IDLE), device)


def _all_mate(k: int, ranks: list[Tensor]) -> Tensor:
    return torch.arange(k)


def _as_they_are(genomes: Tensor, *bounds: Tensor) -> Tensor:
    return genomes


_IDLE = (_all_mate, _as_they_are, _as_they_are)  # mating, mutation, crossover


def _stepping(algorithm: Algorithm, device: torch.device) -> Ready:
    """Parents are the first half of the costs, offspring the second; genomes have one gene."""
    genomes = algorithm.pop

    def ready(costs: Tensor) -> Call:
        def call() -> int:
            algorithm.pop, algorithm.fit = genomes, costs[: len(genomes)]
            algorithm.evaluate = lambda offspring: costs[len(genomes) :]
            with _default(device):
                algorithm.step()
            return len(algorithm.fit)

        return call

    return ready


def _default(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """evox's step makes tensors on torch's default device, whatever `device=` it was given."""
    return contextlib.nullcontext() if device.type == "cpu" else device


PEERS = (
    Peer(
        "pymoo",
        "pymoo",
        "pip install pymoo==0.6.2",
        pymoo,
        largest=20_000,
        goals={
            (200, 3): (0.5, 0.9),
            (200, 5): (0.5, 0.9),
            (1_000, 3): (2, 2),
            (1_000, 5): (2, 2),
            (5_000, 3): (8, 8),
            (5_000, 5): (2.5, 2.5),
            (20_000, 3): (60, 60),
            (20_000, 5): (8, 8),
        },
    ),
    Peer(
        "evox",
        "evox",
        "pip install evox==1.4.0",
        evox,
        largest=5_000,
        on_gpu=True,
        goals={
            (200, 3): (100, 100),
            (200, 5): (100, 100),
            (5_000, 3): (100, 100),
            (5_000, 5): (30, 30),
            (100_000, 3): (20, 20),
        },
    ),
    Peer(
        "evomo",
        "evomo",
        "pip install --no-deps evomo==0.3.1",
        evomo,
        largest=5_000,
        on_gpu=True,
        goals={
            (1_000, 3): (15, 15),
            (1_000, 5): (15, 15),
            (5_000, 3): (50, 50),
            (5_000, 5): (50, 50),
        },
    ),
)
