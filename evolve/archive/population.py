"""A population of fixed size. Knows no selection: it is given one.

One record a digest: a record of a digest that lives replaces it (a promotion to a dearer rung),
and costs of different rungs are never compared: only records of the dearest rung present count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

import numpy as np

from evolve.score import G, Objective, Record, Score, costs, violations, weighed
from evolve.streams import torch_generator
from evolve.variation import Mating, Selection


class Population(Generic[G]):
    """The living records, at most `size`, in order of birth; `selection` says who survives."""

    def __init__(self, size: int, selection: Selection, objectives: Sequence[Objective]) -> None:
        self.size = size
        self.selection = selection
        self.objectives = tuple(objectives)
        self._state: object | None = None
        self.restore((), None)

    def __len__(self) -> int:
        return len(self.records)

    def __contains__(self, digest: object) -> bool:
        return digest in self._digests

    def admit(self, records: Sequence[Record[G]], rng: np.random.Generator) -> None:
        """Let `records` in, then let the selection cut to `size`. Failed records stay out."""
        import torch

        fresh: dict[str, Record[G]] = {}
        for record in records:
            if record.score.error is None:
                fresh.pop(record.digest, None)
                fresh[record.digest] = record
        stay = [i for i, record in enumerate(self.records) if record.digest not in fresh]
        comparable = [self.records[i] for i in stay] + list(fresh.values())
        scores = [record.score for record in fresh.values()]
        table = np.concatenate([self._costs[stay], costs(scores, self.objectives)])
        violation = np.concatenate([self._violation[stay], violations(scores)])
        rungs = [record.rung for record in comparable]
        if len(set(rungs)) > 1:
            dearest = [i for i, rung in enumerate(rungs) if rung == max(rungs)]
            comparable = [comparable[i] for i in dearest]
            table, violation = table[dearest], violation[dearest]
        kept = list(range(len(comparable)))
        if len(comparable) > self.size:
            selected = self.selection(
                torch.from_numpy(weighed(table, self.objectives)),
                self.size,
                violation=torch.from_numpy(violation),
                state=self._state,
                generator=torch_generator(rng),
            )
            self._state = selected.state
            kept = selected.indices.tolist()
        kept.sort(key=lambda i: comparable[i].birth)
        self._hold([comparable[i] for i in kept], table[kept], violation[kept])

    def restore(self, records: Sequence[Record[G]], memory: object | None) -> None:
        """Become a population that had these `records` and whose selection remembers `memory`."""
        scores = [record.score for record in records]
        self._hold(records, costs(scores, self.objectives), violations(scores))
        self._state = memory

    @property
    def memory(self) -> object | None:
        """What the selection remembers for its next call."""
        return self._state

    def parents(self, mating: Mating, n: int, rng: np.random.Generator) -> list[Record[G]]:
        """`n` records chosen by `mating`; needs at least one living record."""
        import torch

        table, violation = weighed(self._costs, self.objectives), self._violation
        # An infeasible record must lose to every feasible one: raise all its costs above theirs.
        if (violation > 0).any():
            span = np.ptp(table, axis=0) + 1.0
            table = np.where(
                violation[:, None] > 0, table.max(0) + span + violation[:, None], table
            )
        samples = _samples([record.score for record in self.records])
        chosen = mating(torch.from_numpy(table), samples, n, generator=torch_generator(rng))
        return [self.records[i] for i in chosen.tolist()]

    def _hold(
        self, records: Sequence[Record[G]], table: np.ndarray, violation: np.ndarray
    ) -> None:
        """Have these `records`, whose costs and violations are given: they are asked for often."""
        self.records: tuple[Record[G], ...] = tuple(records)
        self._digests = frozenset(record.digest for record in records)
        self._costs, self._violation = table, violation


def _samples(scores: Sequence[Score]) -> list[np.ndarray] | None:
    """One (n, s) array per objective when every score has samples of equal length."""
    kept = [score.samples for score in scores if score.samples is not None]
    if not kept or len(kept) < len(scores):
        return None
    try:
        return [np.stack(columns) for columns in zip(*kept, strict=True)]
    except ValueError:  # samples of different lengths cannot be paired
        return None
