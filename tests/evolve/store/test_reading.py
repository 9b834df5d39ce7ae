"""Reading a ledger back: page by page, beside a writer, and by the index that is meant for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from evolve.failure import POISON, Failure
from evolve.genome import digest
from evolve.score import Score
from evolve.search.protocol import Proposal
from evolve.store import reading
from evolve.store.ledger import Ledger
from tests.evolve.cases import vector

TOLD = 2 * reading.PAGE + 5


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger.create(tmp_path / "run", {})) as made:
        made.begin_epoch({})
        yield made


def written(ledger: Ledger, births: int) -> None:
    with ledger.together():
        for birth in range(births):
            ledger.born(birth, Proposal(vector(birth / 1e4), operator=f"o{birth}"))
            ledger.scored(birth, Score((float(birth),)))


@pytest.mark.parametrize("start", [0, 1, reading.PAGE, TOLD - 1, TOLD])
def test_a_replay_gives_what_was_told_in_order_over_all_pages(ledger: Ledger, start: int) -> None:
    written(ledger, TOLD + 3)
    with ledger.together():
        for order in range(TOLD):
            ledger.committed(TOLD - 1 - order, order)
    found = list(ledger.replay(start))
    assert [order for order, *_ in found] == list(range(start, TOLD))
    for order, birth, name, proposal, score in found:
        assert birth == TOLD - 1 - order
        assert (proposal.operator, score.values) == (f"o{birth}", (float(birth),))
        assert name == digest(vector(birth / 1e4))


def test_a_replay_may_be_written_beside(ledger: Ledger) -> None:
    written(ledger, TOLD)
    with ledger.together():
        for birth in range(reading.PAGE + 1):
            ledger.committed(birth, birth)
    seen = []
    for order, birth, *_ in ledger.replay():
        seen.append(order)
        ledger.dispatched(birth)
        if ledger.told() < TOLD:
            ledger.committed(ledger.told(), ledger.told())  # tells on, to the last
    assert seen == list(range(TOLD))


def test_records_are_had_by_birth(ledger: Ledger) -> None:
    written(ledger, 5)
    assert [(r.birth, r.operator, r.score.values) for r in ledger.records_of([4, 0, 4])] == [
        (4, "o4", (4.0,)), (0, "o0", (0.0,)), (4, "o4", (4.0,)),
    ]  # fmt: skip
    assert ledger.records_of([]) == []
    ledger.born(5, Proposal(vector(0.5)))
    with pytest.raises(AssertionError, match="birth 5 has no score"):
        ledger.records_of([5])


def test_what_is_unfinished_is_found_wherever_it_lies(ledger: Ledger) -> None:
    written(ledger, 6)
    ledger.born(6, Proposal(vector(0.6)))
    for order, birth in enumerate((5, 0, 2)):
        ledger.committed(birth, order)
    left = ledger.unfinished()
    assert [each.birth for each in left] == [1, 3, 4, 6]
    assert [each.score is None for each in left] == [False, False, False, True]


# --- twins -----------------------------------------------------------------------------------

NAME = digest(vector(0.1))


def scored(ledger: Ledger, score: Score, rung: int = 0, twin_of: int | None = None) -> int:
    """The number of a new birth of one and the same genome, with `score`."""
    birth = ledger.births()
    ledger.born(birth, Proposal(vector(0.1), rung=rung))
    ledger.scored(birth, score, twin_of=twin_of)
    return birth


def test_a_genome_is_known_by_its_first_own_score_at_that_rung(ledger: Ledger) -> None:
    assert ledger.known(NAME, 0) is None
    ledger.born(0, Proposal(vector(0.1)))
    assert ledger.known(NAME, 0) is None, "born, not scored"
    first = scored(ledger, Score((1.0,)))
    scored(ledger, Score((2.0,)))
    found = ledger.known(NAME, 0)
    assert found is not None
    assert (found[0], found[1].values) == (first, (1.0,))
    assert ledger.known(NAME, 1) is None
    assert ledger.known(digest(vector(0.2)), 0) is None
    assert ledger.known(f"{NAME[:12]}{'0' * 52}", 0) is None, "another one of the same beginning"


def test_a_twin_is_no_source(ledger: Ledger) -> None:
    scored(ledger, Score((1.0,)), rung=1)
    scored(ledger, Score((1.0,)), twin_of=0)
    assert ledger.known(NAME, 0) is None


@pytest.mark.parametrize("kind", list(Failure))
def test_only_the_failures_of_poison_genomes_are_reused(ledger: Ledger, kind: Failure) -> None:
    birth = scored(ledger, Score.failed(f"{kind.value}: so it was: really"))
    found = ledger.known(NAME, 0)
    if kind in POISON:
        assert found is not None
        assert (found[0], found[1].error) == (birth, f"{kind.value}: so it was: really")
    else:
        assert found is None
        later = scored(ledger, Score((1.0,)))
        assert (ledger.known(NAME, 0) or (None,))[0] == later


def test_a_genome_is_looked_up_in_the_index(ledger: Ledger) -> None:
    plans: list[str] = []
    ledger._database.set_trace_callback(plans.append)
    ledger.known(NAME, 0)
    ledger._database.set_trace_callback(None)
    steps = ledger._database.execute(f"EXPLAIN QUERY PLAN {plans[0]}").fetchall()
    assert "USING INDEX birth_key (<expr>=? AND rung=?)" in steps[0][3], steps
