"""The contract of a search, and the window that follows from `seen`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from evolve.genomes.vector import Vector
from evolve.score import Record
from evolve.search.protocol import Proposal, Search, window_of
from tests.evolve.cases import vector


@dataclass(frozen=True)
class Seen:
    """A search that is nothing but its `seen`."""

    rule: Callable[[int], int]
    elites: Sequence[Record[Vector]] = ()

    def seen(self, birth: int) -> int:
        return self.rule(birth)

    def ask(self, birth: int, rng: np.random.Generator) -> Proposal[Vector]:
        return Proposal(vector(0.0))

    def tell(self, record: Record[Vector], rng: np.random.Generator) -> None:
        return None


@pytest.mark.parametrize(
    ("rule", "window"),
    [
        (lambda n: n, 1),  # one at a time
        (lambda n: max(0, n - 15), 16),  # steady
        (lambda n: 24 * (n // 24), 24),  # generational
        (lambda n: max(40, n - 7) if n >= 40 else 0, 8),  # forty founders, then eight
        (lambda n: 10 * max(0, n // 10 - 1), 20),  # two generations in flight
    ],
)
def test_the_window_is_the_most_in_flight_after_the_start(
    rule: Callable[[int], int], window: int
) -> None:
    search: Search[Vector] = Seen(rule)
    assert window_of(search) == window


def test_a_proposal_without_origin_is_a_founder() -> None:
    proposal = Proposal(vector(0.0))
    assert (proposal.parents, proposal.operator, proposal.rung) == ((), "founder", 0)
    assert proposal.facts == {}
    assert proposal.facts is not Proposal(vector(0.0)).facts
