"""10,000 generations over DTLZ1-4: exactly k distinct survivors in each.

evox 1.4.0's NSGA-III gives another number in 31 % of its generations (facts of the issue).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from evox.problems.numerical import DTLZ1, DTLZ2, DTLZ3, DTLZ4
from evox.workflows import StdWorkflow
from torch import Tensor

from operators.selection import NSGA3, Selected, das_dennis
from operators.selection.normalisation import Memory
from operators.tensor import Evolution

POPULATION, GENERATIONS = 92, 2_500


@dataclass(frozen=True)
class Counted:
    """NSGA-III, with the number of distinct survivors of each call."""

    selection: NSGA3
    sizes: list[int] = field(default_factory=list)

    def __call__(
        self,
        costs: Tensor,
        k: int,
        *,
        violation: Tensor | None = None,
        state: object | None = None,
        generator: torch.Generator,
    ) -> Selected:
        found = self.selection(costs, k, violation=violation, state=state, generator=generator)
        self.sizes.append(len(set(found.indices.tolist())))
        return found


@pytest.mark.slow
@pytest.mark.parametrize("problem", [DTLZ1, DTLZ2, DTLZ3, DTLZ4])
def test_the_population_stays(problem: type[DTLZ1]) -> None:
    torch.manual_seed(0)
    counted = Counted(NSGA3(das_dennis(3, 12)))
    box = torch.zeros(7), torch.ones(7)
    evolution = Evolution(POPULATION, 3, *box, counted, Memory.blank(3))
    workflow = StdWorkflow(evolution, problem(d=7, m=3))
    workflow.init_step()
    counted.sizes.clear()  # a trial call when it was built
    for _ in range(GENERATIONS):
        workflow.step()
    assert counted.sizes == [POPULATION] * GENERATIONS
    assert evolution.pop.shape == (POPULATION, 7)
    assert bool(torch.isfinite(evolution.fit).all())
