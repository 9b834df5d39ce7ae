"""A search, then its best once more on more samples, which decide who won.

A search on fixed samples ends at what is best on those. What it leaves of a budget is well spent
on scoring its finalists at a dearer rung. Knows no genome and no search.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

import numpy as np

from evolve.errors import ExperimentError
from evolve.score import G, Objective, Record
from evolve.search.promotion import by_mean
from evolve.search.protocol import PROMOTION, Plan, Proposal, Search


class Playoff(Generic[G]):
    """`births` births of `search`, then its `n` best of rung `rung` - 1 promoted to `rung`.

    Best by `objective`, each genome once, failed and infeasible ones last; where there are fewer
    than `n` they come again, as twins. Raises `ExperimentError` for numbers below 1, and where
    the search told no record of that rung.
    """

    def __init__(
        self, search: Search[G], objective: Objective, *, births: int, n: int, rung: int
    ) -> None:
        for name, number in (("births", births), ("n", n), ("rung", rung)):
            if number < 1:
                raise ExperimentError(f"Playoff.{name} is {number}; give 1 or more.")
        self.search = search
        self.objective = objective
        self.births, self.n, self.rung = births, n, rung
        self._field: dict[str, Record[G]] = {}  # who can be a finalist, by digest
        self._played: list[Record[G]] = []

    def seen(self, birth: int) -> int:
        return self.search.seen(birth) if birth < self.births else self.births

    def ask(self, birth: int, rng: np.random.Generator) -> Proposal[G] | Plan[G]:
        if birth < self.births:
            return self.search.ask(birth, rng)
        field = list(self._field.values())
        finalists = [field[i] for i in by_mean(field, self.objective)[: self.n]]
        if not finalists:
            raise ExperimentError(
                f"Playoff found no record of rung {self.rung - 1} in {self.births} births; let "
                "the search reach it, or give another rung."
            )
        record = finalists[(birth - self.births) % len(finalists)]
        return Proposal(record.genome, (record.birth,), PROMOTION, self.rung)

    def tell(self, record: Record[G], rng: np.random.Generator) -> None:
        if record.birth >= self.births:
            self._played.append(record)
            return
        if record.rung == self.rung - 1:
            self._field.setdefault(record.digest, record)
        self.search.tell(record, rng)

    @property
    def elites(self) -> Sequence[Record[G]]:
        """The best of the playoff; before it the search's."""
        fine = [r for r in self._played if r.score.error is None and not r.score.violation]
        return [fine[i] for i in by_mean(fine, self.objective)[:1]] or self.search.elites
