"""evox workflows for the tests: an algorithm on a DTLZ problem, and a problem from a function."""

from __future__ import annotations

from collections.abc import Callable

import torch
from evox.core import Algorithm, Problem
from evox.problems.numerical import DTLZ1, DTLZ2, DTLZ3, DTLZ4, DTLZ7
from evox.workflows import StdWorkflow
from torch import Tensor

DTLZ: dict[str, type[Problem]] = {
    "DTLZ1": DTLZ1,
    "DTLZ2": DTLZ2,
    "DTLZ3": DTLZ3,
    "DTLZ4": DTLZ4,
    "DTLZ7": DTLZ7,
}


class Function(Problem):  # type: ignore[misc]  # evox has no types
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.n_calls = 0

    def evaluate(self, pop: Tensor) -> Tensor:
        self.n_calls += 1
        return self.function(pop)


def dtlz(d: int = 12, m: int = 3, name: str = "DTLZ2") -> Problem:
    return DTLZ[name](d, m, ref_num=2)


def box(d: int = 12, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    return torch.zeros(d, dtype=dtype), torch.ones(d, dtype=dtype)


def begun(algorithm: Algorithm, problem: Problem | None = None) -> StdWorkflow:
    """A workflow whose first population is evaluated."""
    workflow = StdWorkflow(algorithm, dtlz() if problem is None else problem)
    workflow.init_step()
    return workflow


def gone(workflow: StdWorkflow, generations: int, seed: int | None = None) -> StdWorkflow:
    """The same workflow some generations later."""
    if seed is not None:
        torch.manual_seed(seed)
    for _ in range(generations):
        workflow.step()
    return workflow


def same(one: StdWorkflow, other: StdWorkflow) -> bool:
    """Whether all that the two carry is equal, bit for bit."""
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(
        torch.equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a
    )
