"""Any single-objective evox algorithm as a search (OpenES, SNES, CMA-ES, PSO, DE ...).

evox has no ask and tell: an algorithm's `step` draws a population, evaluates it and learns, in
one call. Here a step runs twice under one seed: on a copy, until it asks for costs (*capture*:
the population is kept, the copy thrown away), and again when the costs are told (*replay*).
Knows no operator and no fitness; source: evox 1.4.0, `evox.core.Algorithm`.

evox 1.4.0's `CMAES` adds a number where the rank-one matrix belongs (`p_c @ p_c.T` of a vector),
and torch warns of it: for CMA-ES take `OptunaSearch`. `CSO` begins with a generation of another
size and is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from evolve.archive.front import Front
from evolve.errors import ExperimentError
from evolve.genomes.vector import VectorLike
from evolve.score import Objective, Record, Score, costs
from evolve.search.protocol import Proposal

if TYPE_CHECKING:
    import torch
    from evox.core import Algorithm

V = TypeVar("V", bound=VectorLike)


@dataclass(frozen=True)
class UnitBox:
    """Where a strategy searches: the genes scaled to [0, 1]. Each (d,) float32, on the CPU.

    `center` is the best founder.
    """

    center: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor


class EvoxSearch(Generic[V]):
    """Generations of `population` births after the founders (default: the template).

    `strategy` builds the algorithm once the founders are told, e.g.
    `lambda unit: SNES(pop_size=20, center_init=unit.center, sigma=0.2)`; it must evaluate
    `population` points at a time. Points outside the box are scored at its border. A failed
    evaluation costs as much as the worst of its generation, an infeasible one that plus its
    violation (Deb 2000); a generation with nothing but failures is drawn anew.
    """

    def __init__(
        self,
        strategy: Callable[[UnitBox], Algorithm],
        template: V,
        objectives: Sequence[Objective],
        population: int,
        founders: Sequence[V] = (),
    ) -> None:
        if len(objectives) != 1:
            raise ExperimentError(
                f"EvoxSearch minimises one objective, got {len(objectives)}; "
                "use Genetic with a multiobjective selection, or OptunaSearch."
            )
        if population < 1:
            raise ExperimentError(f"EvoxSearch.population is {population}; give 1 or more.")
        self._strategy = strategy
        self._template = template
        self._objectives = tuple(objectives)
        self._size = population
        self._founders = tuple(founders) or (template,)
        self._front: Front[V] = Front(self._objectives)
        self._generation = -1  # the founders
        self._scores: dict[int, Score] = {}  # of this generation, by row
        self._best: tuple[float, np.ndarray] = (np.inf, self._founders[0].values)
        self._name = ""
        self._algorithm: Algorithm | None = None  # as it was before the step under way
        self._first = True  # that step is the algorithm's `init_step`
        self._seed = 0  # of that step
        self._answers: tuple[np.ndarray, ...] = ()  # costs told to that step so far, (P,) each
        self._points = np.empty((0, template.box.size))  # (P, d) in [0, 1], being scored

    def seen(self, birth: int) -> int:
        first = len(self._founders)
        return 0 if birth < first else first + self._size * ((birth - first) // self._size)

    def ask(self, birth: int, rng: np.random.Generator) -> Proposal[V]:
        if birth < len(self._founders):
            return Proposal(self._founders[birth], facts={"generation": -1, "row": birth})
        generation, row = divmod(birth - len(self._founders), self._size)
        if generation != self._generation:
            raise ExperimentError(
                f"Birth {birth} is of generation {generation}, but generation "
                f"{self._generation} is under way; ask it once {self.seen(birth)} are told."
            )
        box = self._template.box
        genes = box.low + self._points[row] * (box.high - box.low)
        facts = {"generation": generation, "row": row}
        return Proposal(self._template.at(genes), operator=self._name, facts=facts)

    def tell(self, record: Record[V], rng: np.random.Generator) -> None:
        self._front.add(record)
        row = record.facts.get("row")
        if record.facts.get("generation") != self._generation or not isinstance(row, int):
            return  # not a birth of ours, or told twice
        self._scores[row] = record.score
        if self._generation < 0:
            cost = float(costs([record.score], self._objectives)[0, 0])
            if record.score.violation == 0 and cost < self._best[0]:
                self._best = (cost, record.genome.values)
            if len(self._scores) == len(self._founders):
                self._begin(int(rng.integers(2**63)))
        elif len(self._scores) == self._size:
            scores = [self._scores[i] for i in range(self._size)]
            answer = _penalised(scores, self._objectives)
            self._advance(answer, int(rng.integers(2**63)))

    @property
    def elites(self) -> Sequence[Record[V]]:
        return tuple(self._front.records)

    def _begin(self, seed: int) -> None:
        import torch

        box = self._template.box
        width = np.where(box.high > box.low, box.high - box.low, 1.0)
        center = torch.as_tensor((self._best[1] - box.low) / width, dtype=torch.float32)
        with _seeded(seed):
            unit = UnitBox(center, torch.zeros_like(center), torch.ones_like(center))
            self._algorithm = self._strategy(unit)
        self._name = type(self._algorithm).__name__
        self._next(seed + 1)

    def _advance(self, answer: np.ndarray | None, seed: int) -> None:
        assert self._algorithm is not None
        if answer is None:  # nothing was learned
            self._answers = ()
        else:
            self._answers = (*self._answers, answer)
            after = _run(self._algorithm, self._first, self._seed, self._answers)
            if isinstance(after, np.ndarray):  # a step that evaluates more than once
                self._enter(after)
                return
            self._algorithm, self._first, self._answers = after, False, ()
        self._next(seed)

    def _next(self, seed: int) -> None:
        """Draw the population of the next step."""
        assert self._algorithm is not None
        self._seed = seed
        points = _run(self._algorithm, self._first, seed, ())
        if not isinstance(points, np.ndarray):
            raise ExperimentError(f"evox's {self._name} made a step without an evaluation.")
        self._enter(points)

    def _enter(self, points: np.ndarray) -> None:
        shape = (self._size, self._template.box.size)
        if points.shape != shape:
            raise ExperimentError(
                f"evox's {self._name} evaluates an array of shape {points.shape}, expected "
                f"{shape}: EvoxSearch.population must be what it evaluates at a time."
            )
        self._points, self._scores = points, {}
        self._generation += 1


class _Captured(Exception):
    """Leaves a step at its first unanswered evaluation."""

    def __init__(self, points: np.ndarray) -> None:
        super().__init__()
        self.points = points


def _run(
    algorithm: Algorithm, first: bool, seed: int, answers: Sequence[np.ndarray]
) -> Algorithm | np.ndarray:
    """One step on a copy of `algorithm`: the copy if `answers` suffice, else (P, d) points."""
    import torch

    told = iter(answers)

    def evaluate(points: torch.Tensor) -> torch.Tensor:
        answer = next(told, None)
        if answer is None:
            raise _Captured(points.detach().to("cpu", torch.float64).numpy().copy())
        return torch.as_tensor(answer, dtype=points.dtype)

    trial = copy.deepcopy(algorithm)
    trial.evaluate = evaluate  # what evox's own workflow does
    try:
        with _seeded(seed):
            trial.init_step() if first else trial.step()
    except _Captured as captured:
        return captured.points
    del trial.evaluate
    return trial


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Inside, torch's CPU generator starts at `seed`, on the CPU and without gradients."""
    import torch

    with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.no_grad():
        # not `torch.manual_seed`, which would also seed every other device, for good
        torch.default_generator.manual_seed(seed)
        yield


def _penalised(scores: Sequence[Score], objectives: Sequence[Objective]) -> np.ndarray | None:
    """(P,) float32, all finite; None if no evaluation succeeded."""
    with np.errstate(over="ignore"):
        cost = costs(scores, objectives)[:, 0].astype(np.float32)
    violation = np.array([score.violation for score in scores], dtype=np.float32)
    known = np.isfinite(cost)
    if not known.any():
        return None
    feasible = known & (violation == 0)
    worst = cost[feasible].max() if feasible.any() else np.float32(0.0)
    cost = np.where(known & (violation > 0), worst + violation, cost)
    return np.where(known, cost, cost[known].max())
