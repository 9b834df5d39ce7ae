"""Islands for tests, importable by Ray workers: DTLZ2 on three islands of 16."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from evox.core import Problem
from evox.problems.numerical import DTLZ2
from torch import Tensor

from evolve import Experiment, Needs
from evolve.genomes.island import Island
from evolve.search.islands import Islands, RandomGraph, Ring
from fitness.stint import Stint
from operators.selection import NSGA2
from operators.tensor import NSGA2 as TensorNSGA2
from operators.tensor import Evolution

BIRTHS = 15
N_GENES = 7


def algorithm(size: int = 16) -> Evolution:
    """NSGA-II on the unit box, in float64."""
    low = torch.zeros(N_GENES, dtype=torch.float64)
    return TensorNSGA2(size, 3, low, low + 1)


def problem() -> Problem:
    return DTLZ2(N_GENES, 3)


class Slow(Problem):  # type: ignore[misc]  # evox has no types
    """DTLZ2 that leaves a file for every evaluation in `folder`.

    The first process to come to its evaluation number `trap` writes its process id to
    `folder/trapped` and waits to be killed.
    """

    def __init__(self, folder: Path, trap: int) -> None:
        super().__init__()
        self.inner, self.folder, self.trap = problem(), folder, trap

    def evaluate(self, pop: Tensor) -> Tensor:
        own = f"{os.getpid()}-"
        (self.folder / f"{own}{time.monotonic_ns()}").touch()
        if len(list(self.folder.glob(f"{own}*"))) == self.trap:
            self.wait_once()
        costs: Tensor = self.inner.evaluate(pop)
        return costs

    def wait_once(self) -> None:
        draft = self.folder / "draft"
        try:
            draft.touch(exist_ok=False)
        except FileExistsError:
            return
        draft.write_text(str(os.getpid()))
        (self.folder / "trapped").hardlink_to(draft)
        time.sleep(120)


@dataclass(frozen=True)
class Trapped:
    """A recipe of `Slow` that pickles."""

    folder: Path
    trap: int

    def __call__(self) -> Problem:
        return Slow(self.folder, self.trap)


def stint(generations: int = 5) -> Stint:
    return Stint(algorithm, problem, generations, reference=(2.0, 2.0, 2.0), needs=Needs())


def search(n_islands: int = 3, migrants: int = 4, ring: bool = True) -> Islands:
    topology = Ring() if ring else RandomGraph(degree=2)
    return Islands(
        n_islands=n_islands,
        selection=NSGA2(),
        migrants=migrants,
        objectives=stint().objectives,
        topology=topology,
    )


def islands(ring: bool = True, births: int = BIRTHS, generations: int = 5) -> Experiment[Island]:
    return Experiment("islands", partial(search, ring=ring), stint(generations), births)


def driven() -> Experiment[Island]:
    """With stints long enough for a kill to meet one."""
    return islands(generations=30)
