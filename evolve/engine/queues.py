"""Births that wait for a worker, by what the worker must have. Knows no ledger."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from evolve.score import Needs


@dataclass
class Queues:
    """One queue of each needs that came up; an entry is the births that go out together."""

    _every: list[tuple[Needs, deque[tuple[int, ...]]]] = field(default_factory=list)

    def of(self, needs: Needs) -> deque[tuple[int, ...]]:
        """The queue for workers of `needs`; made when it is first asked for."""
        for known, waiting in self._every:
            if known == needs:
                return waiting
        self._every.append((needs, deque()))
        return self._every[-1][1]

    def filled(self) -> Iterator[tuple[Needs, deque[tuple[int, ...]]]]:
        """The queues in which something waits."""
        return (pair for pair in self._every if pair[1])

    def __len__(self) -> int:
        """How many entries wait in all."""
        return sum(len(waiting) for _, waiting in self._every)


def shared(one: Needs, other: Needs) -> bool:
    """Whether the same workers serve both: batch and limit of a call may differ."""
    return one is other or _shape(one) == _shape(other)


def _shape(needs: Needs) -> tuple[object, ...]:
    n = needs
    return n.cpus, n.gpus, n.memory, n.custom, n.threads, n.startup, n.waits
