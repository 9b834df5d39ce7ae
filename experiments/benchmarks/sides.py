"""The two sides of the quality benchmark, a generation at a time: our NSGA-III and pymoo's.

Ours is `operators.tensor.NSGA3` in an evox workflow. pymoo's is its stock `NSGA3` loop and
survival. Both have the settings of Deb & Jain 2014, table II: SBX eta 30 on every pair, each
variable with probability 0.5; polynomial mutation eta 20, each variable of every child with
probability 1 / d; random mating; no duplicate elimination. Knows no problem, no metric.

`peer`, the side compared, has evox's two operators and mates each parent once, as `Ours` does,
so that the loop and the survival alone differ; `native` has pymoo's own operators and mating at
those settings; `stock` is pymoo as it comes: that, mutation of nine children in ten, and no child
equal to another or to a parent.

Settings of the same name are not the same operators: pymoo's SBX bends at the bounds, evox's is
cut off there and lands on optima that lie on them. In a pilot (M = 2, seeds 901-909, 250
generations) that made pymoo's median IGD with evox's operators 0.26 (ZDT4) and 0.32 (ZDT6) of
that with its own; DTLZ3 (M = 3, 1000 generations, 9 seeds) did not show it. Mating shows too:
parents drawn with replacement came out worse, for either side, than each parent once (ZDT6, seeds
920-930, median IGD: ours 0.0051 and 0.0040, pymoo 0.0047 and 0.0043).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from evox.operators.crossover import simulated_binary
from evox.operators.mutation import polynomial_mutation
from evox.workflows import StdWorkflow
from pymoo.algorithms.moo.nsga3 import NSGA3 as PymooNSGA3
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.selection.rnd import RandomSelection

from experiments.benchmarks.pymoo_problem import Evaluated
from operators.tensor import NSGA3


class Side(Protocol):
    """A run in progress."""

    def generation(self) -> None:
        """Make and survive one more population; the first call evaluates the random one."""

    def costs(self) -> np.ndarray:
        """(p, m) float64 of the population that lives."""


class Begin(Protocol):
    """How a side starts: `points` (r, m) are its reference points, `size` its population."""

    def __call__(self, problem: Problem, points: np.ndarray, size: int, seed: int) -> Side: ...


class Ours:
    """Our NSGA-III in evox's workflow, float64, under torch's global stream."""

    def __init__(self, problem: Problem, points: np.ndarray, size: int, seed: int) -> None:
        torch.manual_seed(seed)
        box = torch.from_numpy(problem.xl), torch.from_numpy(problem.xu)
        algorithm = NSGA3(size, problem.n_obj, *box, points=torch.from_numpy(points))
        self.workflow = StdWorkflow(algorithm, Evaluated(problem))
        self.begun = False

    def generation(self) -> None:
        """As `Side`."""
        if self.begun:
            self.workflow.step()
        else:
            self.workflow.init_step()
        self.begun = True

    def costs(self) -> np.ndarray:
        """As `Side`."""
        costs: np.ndarray = self.workflow.algorithm.fit.double().numpy()
        return costs


class Pymoo:
    """pymoo's NSGA-III with the operators given, under pymoo's own stream."""

    def __init__(self, algorithm: PymooNSGA3, problem: Problem, seed: int) -> None:
        algorithm.setup(problem, termination=("n_gen", 10**9), seed=seed)
        self.algorithm = algorithm

    def generation(self) -> None:
        """As `Side`."""
        self.algorithm.next()

    def costs(self) -> np.ndarray:
        """As `Side`."""
        costs: np.ndarray = self.algorithm.pop.get("F")
        return costs


class EvoxCrossover(Crossover):  # type: ignore[misc]  # pymoo has no annotations
    """evox's simulated binary crossover, eta 30, as pymoo calls one."""

    def __init__(self) -> None:
        super().__init__(n_parents=2, n_offsprings=2, prob=1.0)

    def _do(self, problem: Problem, X: np.ndarray, **_: object) -> np.ndarray:
        parents = torch.from_numpy(X.reshape(-1, X.shape[2]))
        children: np.ndarray = simulated_binary(parents, pro_c=1.0, dis_c=30.0).numpy()
        return children.reshape(X.shape)


class EvoxMutation(Mutation):  # type: ignore[misc]  # pymoo has no annotations
    """evox's polynomial mutation, eta 20, one variable a child on average; it clamps first."""

    def __init__(self) -> None:
        super().__init__(prob=1.0)

    def _do(self, problem: Problem, X: np.ndarray, **_: object) -> np.ndarray:
        box = torch.from_numpy(problem.xl), torch.from_numpy(problem.xu)
        children = polynomial_mutation(torch.from_numpy(X), *box, pro_m=1, dis_m=20)
        mutated: np.ndarray = torch.clamp(children, *box).numpy()
        return mutated


def stock(problem: Problem, points: np.ndarray, size: int, seed: int) -> Side:
    """pymoo's NSGA-III with every default."""
    return Pymoo(PymooNSGA3(points, pop_size=size), problem, seed)


def native(problem: Problem, points: np.ndarray, size: int, seed: int) -> Side:
    """pymoo with its own operators and mating: at random, in two draws."""
    algorithm = PymooNSGA3(
        points,
        pop_size=size,
        crossover=SBX(eta=30, prob=1.0, prob_var=0.5),
        mutation=PM(eta=20, prob=1.0),  # each variable with probability 1 / d, its default
        eliminate_duplicates=False,
    )
    return Pymoo(algorithm, problem, seed)


def peer(problem: Problem, points: np.ndarray, size: int, seed: int) -> Side:
    """pymoo with evox's operators, each parent once; they draw from torch's global stream."""
    torch.manual_seed(seed)
    algorithm = PymooNSGA3(
        points,
        pop_size=size,
        selection=RandomSelection(),
        crossover=EvoxCrossover(),
        mutation=EvoxMutation(),
        eliminate_duplicates=False,
    )
    return Pymoo(algorithm, problem, seed)
