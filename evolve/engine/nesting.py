"""What promoted genomes have scored already, for a fitness whose rungs are nested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from evolve.genome import Genome
from evolve.score import Fitness, Nested, Score
from evolve.search.protocol import PROMOTION, Proposal
from evolve.store.ledger import Ledger


def below(
    ledger: Ledger, fitness: Fitness[Any], born: Sequence[tuple[str, Proposal[Genome]]]
) -> tuple[Score | None, ...]:
    """Of each (digest, proposal) its score at the rung below; empty where `fitness` is not nested.

    None for what is no promotion: whether its twin at a lower rung is scored yet may be a matter
    of timing, and a promotion's is.
    """
    if not isinstance(fitness, Nested):
        return ()
    return tuple(
        _scored(ledger, digest, proposal.rung - 1) if proposal.operator == PROMOTION else None
        for digest, proposal in born
    )


def _scored(ledger: Ledger, digest: str, rung: int) -> Score | None:
    twin = ledger.known(digest, rung)
    if twin is None or twin[1].error is not None:
        return None
    return replace(twin[1], heritage=None, notes={})
