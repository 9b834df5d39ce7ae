"""Late results change nothing; a driver that was taken over from writes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from evolve.errors import StoreError
from evolve.score import Score
from evolve.search.protocol import Proposal
from evolve.store.connect import connect
from evolve.store.ledger import Ledger
from tests.evolve.cases import vector


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A run with a birth whose first attempt is open, in epoch 1."""
    with closing(Ledger.create(tmp_path / "run", {})) as made:
        made.begin_epoch({})
        made.born(0, Proposal(vector(0.1)))
        made.dispatched(0)
        yield made


def attempt(ledger: Ledger, number: int = 1) -> tuple[object, ...]:
    """(outcome, worker, detail, whether a result came late) of an attempt of birth 0."""
    row = ledger._database.execute(
        "SELECT outcome, worker, detail, late FROM attempt WHERE birth = 0 AND attempt = ?",
        (number,),
    ).fetchone()
    return (*row[:3], row[3] is not None)


def test_an_attempt_ends_once(ledger: Ledger) -> None:
    assert ledger.ended(0, 1, 1, "timeout", "ray-1", "10 s")
    assert attempt(ledger) == ("timeout", "ray-1", "10 s", False)
    assert ledger.late() == 0
    assert not ledger.ended(0, 1, 1, "scored", "ray-2", "after all")
    assert attempt(ledger) == ("timeout", "ray-1", "10 s", True)
    assert ledger.late() == 1


def test_how_late_is_written_once(ledger: Ledger) -> None:
    when = "SELECT late FROM attempt"
    ledger.ended(0, 1, 1, "timeout", "ray-1")
    ledger.ended(0, 1, 1, "scored", "ray-1")
    first = ledger._database.execute(when).fetchone()
    ledger.ended(0, 1, 1, "scored", "ray-1")
    assert ledger._database.execute(when).fetchone() == first
    assert ledger.late() == 1


def test_a_result_of_an_earlier_epoch_is_late(ledger: Ledger) -> None:
    assert ledger.begin_epoch({}) == ledger.epoch == 2
    assert ledger.failures(0) == ["driver lost"]
    assert ledger.dispatched(0) == 2
    assert not ledger.ended(0, 1, 1, "scored", "frozen")
    assert attempt(ledger) == ("driver lost", None, None, True)
    assert not ledger.ended(0, 2, 1, "scored", "frozen"), "the number alone does not open it"
    assert attempt(ledger, 2) == (None, None, None, True)
    assert ledger.ended(0, 2, 2, "scored", "ray-2")


def test_a_result_of_no_attempt_changes_nothing(ledger: Ledger) -> None:
    assert not ledger.ended(0, 7, 1, "scored", "ray-1")
    assert not ledger.ended(3, 1, 1, "scored", "ray-1")
    assert (attempt(ledger), ledger.late()) == ((None, None, None, False), 0)


WRITES: dict[str, Callable[[Ledger], object]] = {
    "born": lambda ledger: ledger.born(1, Proposal(vector(0.2))),
    "dispatched": lambda ledger: ledger.dispatched(0),
    "ended": lambda ledger: ledger.ended(0, 1, 1, "scored", "ray-1"),
    "scored": lambda ledger: ledger.scored(0, Score((1.0,))),
    "committed": lambda ledger: ledger.committed(0, 0),
    "fact": lambda ledger: ledger.set_fact("finished", 1.0),
    "epoch": lambda ledger: ledger.begin_epoch({}),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_driver_that_was_taken_over_from_writes_nothing(
    ledger: Ledger, write: Callable[[Ledger], object]
) -> None:
    with ExitStack() as stack:
        database = stack.enter_context(closing(connect(ledger.folder, write=True)))
        other = Ledger(ledger.folder, database, None)  # as on a host that flock does not reach
        other.begin_epoch({})
        before = "\n".join(database.iterdump())
        with pytest.raises(
            StoreError, match=rf"Another driver \(process {os.getpid()} on .*\) has taken over"
        ):
            write(ledger)
        assert "\n".join(database.iterdump()) == before
        assert other.dispatched(0) == 2
