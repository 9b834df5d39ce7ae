"""Genetic search: steady state or generational, any operators, selection and mating.

Knows no kind of genome. The founders are the first births; afterwards a birth is a child of
parents drawn by `mating`, made by one of `operators`. Survival is `selection`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np

from evolve.archive.front import Front
from evolve.archive.memory import pack_memory, unpack_memory
from evolve.archive.population import Population
from evolve.errors import ExperimentError, Infertile
from evolve.genome import Packed, digest
from evolve.score import G, Objective, Record, Score
from evolve.search.credit import Bandit, Credit
from evolve.search.protocol import Plan, Proposal
from evolve.variation import Learning, Mating, Operator, Selection, offspring

FAILURES = 64  # records kept as lessons
TRIES = 16  # parents tried for a fertile and new child before a twin is let through


@dataclass(frozen=True)
class Steady:
    """Each birth is asked when all but `window - 1` of the births before it are told."""

    window: int = 8


@dataclass(frozen=True)
class Generational:
    """`offspring` births are asked together, then selected together with their parents."""

    offspring: int


class Genetic(Generic[G]):
    """A population under variation and selection.

    `operators` share the births by `weights` (default: equal), or by the credit of their
    children in the front if there is a `bandit`. A child whose twin lives is drawn again, up to
    `TRIES` times; an operator with `needs` is planned, and a worker varies. One that learns from
    failures is given the newest failed children of its first parent.
    Raises `ExperimentError` for parts that do not fit.
    """

    def __init__(
        self,
        *,
        founders: Sequence[G],
        operators: Sequence[Operator[G]],
        selection: Selection,
        mating: Mating,
        objectives: Sequence[Objective],
        size: int,
        pace: Steady | Generational = Steady(),
        weights: Sequence[float] | None = None,
        bandit: Bandit | None = None,
    ) -> None:
        if not founders:
            raise ExperimentError("Genetic has no founders; give at least one genome to start.")
        if not operators:
            raise ExperimentError("Genetic has no operators; give at least one.")
        if size < 2:
            raise ExperimentError(f"Genetic.size is {size}; a population needs 2 or more.")
        step = pace.window if isinstance(pace, Steady) else pace.offspring
        if step < 1:
            raise ExperimentError(f"Genetic.pace is {pace}; give 1 or more.")
        shares = np.ones(len(operators)) if weights is None else np.asarray(weights, np.float64)
        fit = shares.shape == (len(operators),) and np.isfinite(shares).all()
        if not fit or (shares < 0).any() or shares.sum() <= 0:
            raise ExperimentError(
                f"Genetic.weights is {weights} for {len(operators)} operators; give one finite "
                "number >= 0 each, not all zero."
            )
        _check_fit(selection, mating, size, len(objectives))
        self.founders = tuple(founders)
        self.operators = tuple(operators)
        self.mating = mating
        self.pace = pace
        self.population: Population[G] = Population(size, selection, objectives)
        self.front: Front[G] = Front(objectives)
        names = [operator.name for operator in operators]
        self._credit = None if bandit is None else Credit(bandit, names)
        self._failures: list[Record[G]] = []  # the newest, last
        self._shares = shares / shares.sum()
        self._cohort: list[Record[G]] = []  # told, not yet selected
        self._told = 0

    def seen(self, birth: int) -> int:
        first = len(self.founders)
        if birth < first:
            return 0
        if isinstance(self.pace, Steady):
            return max(first, birth - self.pace.window + 1)
        return first + self.pace.offspring * ((birth - first) // self.pace.offspring)

    def ask(self, birth: int, rng: np.random.Generator) -> Proposal[G] | Plan[G]:
        if birth < len(self.founders):
            return Proposal(self.founders[birth])
        proposal: Proposal[G] | None = None
        for _ in range(TRIES):
            operator = self.operators[self._drawn(rng)]
            parents = self._parents(operator.arity, rng)
            lessons = self._lessons(operator, parents[0])
            if operator.needs is not None:
                facts = {"lessons": [lesson.birth for lesson in lessons]} if lessons else {}
                return Plan(operator, tuple(parents), facts=facts, lessons=lessons)
            try:
                child = offspring(operator.vary([*parents, *lessons], rng))
            except Infertile:
                continue
            births = tuple(parent.birth for parent in parents)
            proposal = Proposal(child.genome, births, operator.name, facts=child.facts)
            if digest(child.genome) not in self.population:
                break
        if proposal is None:
            names = ", ".join(operator.name for operator in self.operators)
            raise ExperimentError(
                f"No child in {TRIES} tries at birth {birth}: every operator ({names}) was "
                "infertile; check that the operators fit this kind of genome."
            )
        return proposal

    def tell(self, record: Record[G], rng: np.random.Generator) -> None:
        self._told += 1
        entered = self.front.add(record)
        if self._credit is not None:
            self._credit.tell(record.operator, entered)
        if record.score.error is not None:
            self._failures = [*self._failures, record][-FAILURES:]
        self._cohort.append(record)
        if self.seen(self._told) == self._told or isinstance(self.pace, Steady):
            self.population.admit(self._cohort, rng)
            self._cohort = []

    @property
    def elites(self) -> Sequence[Record[G]]:
        return tuple(self.front.records)

    def snapshot(self) -> Packed | None:
        """Who lives, who waits to be selected, and what the selection remembers."""
        memory = pack_memory(self.population.memory)
        if memory is None:
            return None
        groups = (self.population.records, self.front.records, self._cohort, self._failures)
        births = [[record.birth for record in group] for group in groups]
        credit = None if self._credit is None else self._credit.state()
        facts = {"told": self._told, "births": births, "credit": credit, **memory.facts}
        return Packed(facts, memory.arrays)

    def restore(
        self, packed: Packed, records: Callable[[Sequence[int]], Sequence[Record[G]]]
    ) -> None:
        facts: Mapping[str, Any] = packed.facts
        living, front, cohort, *failures = facts["births"]  # snapshots of before have no failures
        self.population.restore(records(living), unpack_memory(packed))
        self.front.restore(records(front))
        self._cohort = list(records(cohort))
        self._failures = [record for births in failures for record in records(births)]
        if self._credit is not None:
            self._credit.restore(facts["credit"])
        self._told = int(facts["told"])

    def _drawn(self, rng: np.random.Generator) -> int:
        if self._credit is not None:
            return self._credit.draw(self._shares, rng)
        return int(rng.choice(len(self.operators), p=self._shares))

    def _lessons(self, operator: Operator[G], parent: Record[G]) -> tuple[Record[G], ...]:
        """The newest failed children of `parent` that `operator` wants to see."""
        if not isinstance(operator, Learning) or operator.lessons < 1:
            return ()
        failed = [each for each in self._failures if each.parents[:1] == (parent.birth,)]
        return tuple(failed[-operator.lessons :])

    def _parents(self, arity: int, rng: np.random.Generator) -> list[Record[G]]:
        if len(self.population):
            return self.population.parents(self.mating, arity, rng)
        # Every record so far has failed: the founders can still be varied.
        return [
            Record(i, self.founders[i], digest(self.founders[i]), Score.failed("failed"))
            for i in rng.integers(len(self.founders), size=arity).tolist()
        ]


def _check_fit(selection: Selection, mating: Mating, size: int, m: int) -> None:
    """Try both on costs of the shape to come: one clear error before any work."""
    import torch

    table = torch.rand(size + 1, m, dtype=torch.float64, generator=torch.Generator())
    for name, part in (("selection", selection), ("mating", mating)):
        try:
            if name == "selection":
                selection(table, size, generator=torch.Generator())
            else:
                samples = [np.ones((size + 1, 2), np.float32)] * m  # for matings that need them
                mating(table, samples, 1, generator=torch.Generator())
        except ValueError as error:
            raise ExperimentError(
                f"Genetic.{name} {type(part).__name__} does not fit {m} objectives: {error}"
            ) from error
