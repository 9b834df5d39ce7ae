"""A search that chooses nothing, for comparison. Knows no kind of genome.

Sampling without selection was found as good as several pipelines that evolve code (arXiv
2602.16805): whoever claims a search should beat it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

import numpy as np

from evolve.archive.front import Front
from evolve.errors import ExperimentError, Infertile
from evolve.genome import digest
from evolve.score import G, Objective, Record
from evolve.search.protocol import Plan, Proposal
from evolve.variation import Operator, offspring

TRIES = 64  # for a child that was not born before


class Unselected(Generic[G]):
    """The start, then children, each of parents drawn evenly from all that could be scored so
    far, whatever their scores: a random walk. With operators that go back to the start whoever
    the parents are, as `operators.code.Fresh`, independent samples.

    `weights`: the operators' shares. A child whose twin was born is drawn again.
    """

    def __init__(
        self,
        start: G,
        operators: Sequence[Operator[G]],
        objectives: Sequence[Objective],
        weights: Sequence[float],
        window: int = 8,
    ) -> None:
        if any(operator.needs is not None for operator in operators):
            raise ExperimentError("Unselected takes operators that vary in the driver only.")
        self._start, self._operators, self._window = start, tuple(operators), window
        self._shares = np.asarray(weights) / np.sum(weights)
        self._scored: list[Record[G]] = []
        self._born: set[str] = set()
        self._front: Front[G] = Front(objectives)

    def seen(self, birth: int) -> int:
        return max(min(birth, 1), birth - self._window + 1)

    def ask(self, birth: int, rng: np.random.Generator) -> Proposal[G] | Plan[G]:
        if birth == 0:
            return Proposal(self._start)
        if not self._scored:
            raise ExperimentError("The start could not be scored; nothing descends from it.")
        proposal: Proposal[G] | None = None
        for _ in range(TRIES):
            operator = self._operators[int(rng.choice(len(self._operators), p=self._shares))]
            drawn = rng.integers(len(self._scored), size=operator.arity)
            parents = [self._scored[int(i)] for i in drawn]
            try:
                child = offspring(operator.vary(parents, rng))
            except Infertile:
                continue
            births = tuple(parent.birth for parent in parents)
            proposal = Proposal(child.genome, births, operator.name, facts=child.facts)
            if digest(child.genome) not in self._born:
                break
        if proposal is None:
            raise ExperimentError(f"No operator was fertile in {TRIES} tries at birth {birth}.")
        return proposal

    def tell(self, record: Record[G], rng: np.random.Generator) -> None:
        self._born.add(record.digest)
        if record.score.error is None:
            self._scored.append(record)
            self._front.add(record)

    @property
    def elites(self) -> Sequence[Record[G]]:
        return self._front.records
