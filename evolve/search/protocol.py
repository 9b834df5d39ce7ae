"""The contract of a search: `ask` reads, `tell` writes, randomness is passed in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, runtime_checkable

import numpy as np

from evolve.genome import Json, Packed
from evolve.score import FOUNDER, G, Record
from evolve.variation import Operator

PROMOTION = "promotion"  # the operator of a genome that is scored again, at another rung


@dataclass(frozen=True, eq=False)
class Proposal(Generic[G]):
    """A birth before it has a number: a genome and where it comes from."""

    genome: G
    parents: tuple[int, ...] = ()  # births
    operator: str = FOUNDER
    rung: int = 0
    facts: Mapping[str, Json] = field(default_factory=dict)  # comes back in the record at tell


@dataclass(frozen=True, eq=False)
class Plan(Generic[G]):
    """A birth whose operator has `needs`: written as planned, varied by a worker, then born.

    `operator.vary(parents, rng)` runs there with the birth's own stream; parents are told
    records. An operator that fails for good leaves a copy of its first parent. `lessons`: failed
    children of the first parent, which follow the parents; see `evolve.variation.Learning`.
    """

    operator: Operator[G]
    parents: tuple[Record[G], ...]
    rung: int = 0
    facts: Mapping[str, Json] = field(default_factory=dict)
    lessons: tuple[Record[G], ...] = ()


class Search(Protocol[G]):
    """Proposes births and learns from records. Its state is a fold over `tell`."""

    def seen(self, birth: int) -> int:
        """How many scores are told before `birth` is asked: monotone, pure, at most `birth`."""
        ...

    def ask(self, birth: int, rng: np.random.Generator) -> Proposal[G] | Plan[G]:
        """The proposal of `birth`, or the plan for one; changes nothing.

        Asked again with the same records told and the same `rng`, it answers the same.
        """
        ...

    def tell(self, record: Record[G], rng: np.random.Generator) -> None:
        """Learn from a scored (or failed) record; records come in commit order."""
        ...

    @property
    def elites(self) -> Sequence[Record[G]]:
        """The best living records, best first where an order exists."""
        ...


@runtime_checkable
class Restorable(Protocol[G]):
    """A search that can say what it is, so that a resume need not tell it everything again.

    Optional: a search without it is told every record again. What it was told is the truth, and
    a snapshot only a short way there: `restore(snapshot(), ...)` gives a search that answers as
    this one does.
    """

    def snapshot(self) -> Packed | None:
        """What `restore` needs; None if a part of it cannot be written down."""
        ...

    def restore(
        self, packed: Packed, records: Callable[[Sequence[int]], Sequence[Record[G]]]
    ) -> None:
        """Become, from new, what gave `packed`; `records(births)` reads records."""
        ...


def plain(found: Proposal[G] | Plan[G]) -> Proposal[G] | Plan[G]:
    """`found` as the ledger will give it back: JSON facts, integer parents."""
    facts = json.loads(json.dumps(found.facts))
    if isinstance(found, Plan):
        return replace(found, facts=facts)
    return replace(found, parents=tuple(int(parent) for parent in found.parents), facts=facts)


def window_of(search: Search[G], horizon: int = 2_000) -> int:
    """How many births `search` lets fly at once, after its start (founders may differ)."""
    return max(n + 1 - search.seen(n) for n in range(horizon // 2, horizon))
