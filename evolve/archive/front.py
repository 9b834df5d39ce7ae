"""The Pareto front of all records told so far, kept by insertion. Knows costs, not genomes.

One dominance test against the living front a record, O(front * objectives): ranking whole
populations is the selections' work, not done here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic

import numpy as np

from evolve.score import G, Objective, Record, costs


class Front(Generic[G]):
    """Feasible, mutually non-dominated records of the dearest rung seen, in order of arrival."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = tuple(objectives)
        self.records: list[Record[G]] = []

    def __len__(self) -> int:
        return len(self.records)

    @classmethod
    def of(cls, records: Iterable[Record[G]], objectives: Sequence[Objective]) -> Front[G]:
        """The front of `records`."""
        front = cls(objectives)
        for record in records:
            front.add(record)
        return front

    def add(self, record: Record[G]) -> bool:
        """Insert `record` if nothing on the front dominates it; says whether it entered."""
        if record.score.error is not None or record.score.violation > 0:
            return False
        rung = max((other.rung for other in self.records), default=record.rung)
        if record.rung < rung:
            return False
        others = [other for other in self.records if other.rung == record.rung]
        if any(other.digest == record.digest for other in others):
            return False  # a twin: the first to be born keeps its place and the credit
        new = costs([record.score], self.objectives)[0]
        table = costs([other.score for other in others], self.objectives)
        if ((table <= new).all(1) & (table < new).any(1)).any():
            return False
        beaten = (new <= table).all(1) & (new < table).any(1)
        self.records = [other for other, lost in zip(others, beaten) if not lost]
        self.records.append(record)
        return True

    def best(self, objective: str) -> Record[G]:
        """The record with the best value of `objective`; the earliest on a tie.

        Raises `ValueError` for an unknown objective or an empty front.
        """
        names = [each.name for each in self.objectives]
        if objective not in names:
            raise ValueError(f"No objective {objective!r}; this run has {', '.join(names)}.")
        return self.records[int(self._table()[:, names.index(objective)].argmin())]

    def knee(self) -> Record[G]:
        """The smallest sum of objectives, each scaled to the front's range."""
        table = self._table()
        low, high = table.min(0), table.max(0)
        scaled = (table - low) / np.where(high > low, high - low, 1.0)
        return self.records[int(scaled.sum(1).argmin())]

    def _table(self) -> np.ndarray:
        if not self.records:
            raise ValueError("The front is empty: no feasible record was scored.")
        return costs([record.score for record in self.records], self.objectives)
