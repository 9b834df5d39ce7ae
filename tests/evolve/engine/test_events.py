"""What the engine tells: each birth's events, in the order in which they happen."""

from __future__ import annotations

from pathlib import Path

from evolve.engine.events import Event, Kind
from evolve.engine.run import conduct
from tests.evolve.engine.problems import dtlz, unruly


def told(events: list[Event], birth: int) -> list[tuple[Kind, int | None]]:
    return [(event.kind, event.attempt) for event in events if event.birth == birth]


def test_a_birth_is_born_dispatched_answered_told(tmp_path: Path) -> None:
    events: list[Event] = []
    conduct(dtlz(20), tmp_path / "run", observers=[events.append])
    for birth in range(20):
        assert told(events, birth) == [
            (Kind.BORN, None), (Kind.DISPATCHED, 1), (Kind.ANSWERED, 1), (Kind.TOLD, None),
        ]  # fmt: skip
    assert {event.epoch for event in events if event.birth is not None} == {1}
    assert all(e.seconds is not None for e in events if e.kind is Kind.ANSWERED)


def test_a_failure_is_told_with_its_kind_at_each_attempt(tmp_path: Path) -> None:
    events: list[Event] = []
    run = conduct(unruly("raise", tmp_path, births=9), tmp_path / "run", observers=[events.append])
    failed = next(record for record in run.records if record.score.error is not None)
    assert told(events, failed.birth)[-5:] == [
        (Kind.DISPATCHED, 1), (Kind.FAILED, 1), (Kind.DISPATCHED, 2), (Kind.FAILED, 2),
        (Kind.TOLD, None),
    ]  # fmt: skip
    words = [e.detail for e in events if e.kind is Kind.FAILED and e.birth == failed.birth]
    assert all(word.startswith("exception: ") for word in words)
