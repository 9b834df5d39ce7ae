"""The contract of a search: `ask` reads, `tell` writes, randomness is passed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol

import numpy as np

from evolve.genome import Json
from evolve.score import G, Record


@dataclass(frozen=True, eq=False)
class Proposal(Generic[G]):
    """A birth before it has a number: a genome and where it comes from."""

    genome: G
    parents: tuple[int, ...] = ()  # births
    operator: str = "founder"
    rung: int = 0
    facts: Mapping[str, Json] = field(default_factory=dict)  # comes back in the record at tell


class Search(Protocol[G]):
    """Proposes births and learns from records. Its state is a fold over `tell`."""

    def seen(self, birth: int) -> int:
        """How many scores are told before `birth` is asked: monotone, pure, at most `birth`."""
        ...

    def ask(self, birth: int, rng: np.random.Generator) -> Proposal[G]:
        """The proposal of `birth`; changes nothing."""
        ...

    def tell(self, record: Record[G], rng: np.random.Generator) -> None:
        """Learn from a scored (or failed) record; records come in commit order."""
        ...

    @property
    def elites(self) -> Sequence[Record[G]]:
        """The best living records, best first where an order exists."""
        ...


def window_of(search: Search[G], horizon: int = 2_000) -> int:
    """How many births `search` lets fly at once, after its start (founders may differ)."""
    return max(n + 1 - search.seen(n) for n in range(horizon // 2, horizon))
