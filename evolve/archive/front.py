"""The Pareto front of all records told so far, kept by insertion. Knows costs, not genomes.

One dominance test against the living front a record, O(front * objectives) in NumPy: ranking
whole populations is the selections' work, not done here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic

import numpy as np

from evolve.score import G, Objective, Record, costs, weighed


class Front(Generic[G]):
    """Feasible, mutually non-dominated records of the dearest rung seen, in order of arrival."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = tuple(objectives)
        self.records: list[Record[G]] = []
        self._costs = np.empty((len(self.objectives), 0))  # (m, front): compared along the front
        self._digests: set[str] = set()
        self._rung = 0  # of all its records

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
        if self.records and record.rung < self._rung:
            return False
        if self.records and record.rung > self._rung:
            self.records, self._digests, self._costs = [], set(), self._costs[:, :0]
        if record.digest in self._digests:
            return False  # a twin: the first to be born keeps its place and the credit
        new = costs([record.score], self.objectives).T
        if ((self._costs <= new).all(0) & (self._costs < new).any(0)).any():
            return False
        beaten = np.asarray((new <= self._costs).all(0) & (new < self._costs).any(0))
        if beaten.any():
            for i in reversed(np.flatnonzero(beaten).tolist()):  # mostly few, of many
                self._digests.remove(self.records.pop(i).digest)
            self._costs = self._costs[:, ~beaten]
        self.records.append(record)
        self._digests.add(record.digest)
        self._costs = np.concatenate([self._costs, new], axis=1)
        self._rung = record.rung
        return True

    def restore(self, records: Sequence[Record[G]]) -> None:
        """Become the front that had these `records`, in that order: they are not compared."""
        self.records = list(records)
        self._digests = {record.digest for record in records}
        self._costs = costs([record.score for record in records], self.objectives).T.copy()
        self._rung = records[0].rung if records else 0

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
        table = weighed(self._table(), self.objectives)
        low, high = table.min(0), table.max(0)
        scaled = (table - low) / np.where(high > low, high - low, 1.0)
        return self.records[int(scaled.sum(1).argmin())]

    def _table(self) -> np.ndarray:
        if not self.records:
            raise ValueError("The front is empty: no feasible record was scored.")
        return np.ascontiguousarray(self._costs.T)
