"""A population of fixed size. Knows no selection: it is given one.

One record a digest: a record of a digest that lives replaces it (a promotion to a dearer rung),
and costs of different rungs are never compared: only records of the dearest rung present count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

import numpy as np

from evolve.score import G, Objective, Record, Score, costs, violations
from evolve.streams import torch_generator
from evolve.variation import Mating, Selection


class Population(Generic[G]):
    """The living records, at most `size`, in order of birth; `selection` says who survives."""

    def __init__(self, size: int, selection: Selection, objectives: Sequence[Objective]) -> None:
        self.size = size
        self.selection = selection
        self.objectives = tuple(objectives)
        self.records: tuple[Record[G], ...] = ()
        self._state: object | None = None

    def __len__(self) -> int:
        return len(self.records)

    def __contains__(self, digest: object) -> bool:
        return any(record.digest == digest for record in self.records)

    def admit(self, records: Sequence[Record[G]], rng: np.random.Generator) -> None:
        """Let `records` in, then let the selection cut to `size`. Failed records stay out."""
        import torch

        living = {record.digest: record for record in self.records}
        for record in records:
            if record.score.error is None:
                living.pop(record.digest, None)
                living[record.digest] = record
        rung = max((record.rung for record in living.values()), default=0)
        comparable = [record for record in living.values() if record.rung == rung]
        if len(comparable) > self.size:
            scores = [record.score for record in comparable]
            selected = self.selection(
                torch.from_numpy(costs(scores, self.objectives)),
                self.size,
                violation=torch.from_numpy(violations(scores)),
                state=self._state,
                generator=torch_generator(rng),
            )
            self._state = selected.state
            comparable = [comparable[i] for i in selected.indices.tolist()]
        self.records = tuple(sorted(comparable, key=lambda record: record.birth))

    def restore(self, records: Sequence[Record[G]], memory: object | None) -> None:
        """Become a population that had these `records` and whose selection remembers `memory`."""
        self.records, self._state = tuple(records), memory

    @property
    def memory(self) -> object | None:
        """What the selection remembers for its next call."""
        return self._state

    def parents(self, mating: Mating, n: int, rng: np.random.Generator) -> list[Record[G]]:
        """`n` records chosen by `mating`; needs at least one living record."""
        import torch

        scores = [record.score for record in self.records]
        table = costs(scores, self.objectives)
        # An infeasible record must lose to every feasible one: raise all its costs above theirs.
        violation = violations(scores)
        if (violation > 0).any():
            span = np.ptp(table, axis=0) + 1.0
            table = np.where(
                violation[:, None] > 0, table.max(0) + span + violation[:, None], table
            )
        chosen = mating(
            torch.from_numpy(table), _samples(scores), n, generator=torch_generator(rng)
        )
        return [self.records[i] for i in chosen.tolist()]


def _samples(scores: Sequence[Score]) -> list[np.ndarray] | None:
    """One (n, s) array per objective when every score has samples of equal length."""
    kept = [score.samples for score in scores if score.samples is not None]
    if not kept or len(kept) < len(scores):
        return None
    try:
        return [np.stack(columns) for columns in zip(*kept, strict=True)]
    except ValueError:  # samples of different lengths cannot be paired
        return None
