"""The states' ways: what leads where, and that nothing else is let through."""

from __future__ import annotations

import re

import pytest

from evolve.engine import states
from evolve.engine.states import WAYS, BirthState, WorkerState, step


def test_every_state_has_its_ways_and_is_drawn() -> None:
    assert set(WAYS) == {*BirthState, *WorkerState}
    drawing = states.__doc__ or ""
    for state in (*BirthState, *WorkerState):
        assert re.search(rf"\b{state.value}\b", drawing), f"{state.value} is not drawn"


def test_every_birth_can_be_committed_and_every_worker_be_ready_again() -> None:
    for start in BirthState:
        assert BirthState.COMMITTED in reached(start)
    for start in WorkerState:
        assert WorkerState.READY in reached(start)


def reached(start: BirthState | WorkerState) -> set[object]:
    found, todo = {start}, [start]
    while todo:
        fresh = WAYS[todo.pop()] - found
        found |= fresh  # type: ignore[arg-type]
        todo += fresh  # type: ignore[arg-type]
    return set(found)


def test_a_told_birth_stays_told() -> None:
    assert not WAYS[BirthState.COMMITTED]
    assert step(BirthState.SCORED, BirthState.COMMITTED) is BirthState.COMMITTED


@pytest.mark.parametrize(
    ("now", "then"),
    [
        (BirthState.PLANNED, BirthState.DISPATCHED),  # without a genome
        (BirthState.COMMITTED, BirthState.SCORED),
        (BirthState.SCORED, BirthState.DISPATCHED),
    ],
)
def test_there_is_no_other_way(now: BirthState, then: BirthState) -> None:
    with pytest.raises(AssertionError, match=f"no way from {now.value} to {then.value}"):
        step(now, then)


def test_a_dead_worker_gets_no_task() -> None:
    with pytest.raises(AssertionError, match="no way from dead to busy"):
        step(WorkerState.DEAD, WorkerState.BUSY)
