"""A model that does not answer is left alone, and asked again later."""

from __future__ import annotations

import pytest

from evolve.chat import absence
from evolve.chat.absence import Absences
from evolve.errors import ChatError

PLACE = ("http://localhost/v1", "fake")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(absence.time, "monotonic", lambda: now[0])
    return now


def test_two_failures_in_a_row_and_it_is_left_alone(clock: list[float]) -> None:
    absences = Absences()
    absences.failed(*PLACE, 10.0)
    absences.check(*PLACE)
    absences.failed(*PLACE, 10.0)
    with pytest.raises(
        ChatError, match=r"'fake' gave no answer 2 times in a row .* for 10 s more"
    ):
        absences.check(*PLACE)
    absences.check(PLACE[0], "another")
    absences.check(None, "fake")


def test_after_the_pause_one_question_passes(clock: list[float]) -> None:
    absences = Absences()
    for _ in range(6):  # all that flew
        absences.failed(*PLACE, 10.0)
    clock[0] += 10.5
    absences.check(*PLACE)
    with pytest.raises(ChatError, match="for 10 s more"):
        absences.check(*PLACE)
    absences.answered(*PLACE)
    absences.check(*PLACE)
    absences.check(*PLACE)


def test_a_pause_is_doubled_when_it_fails_again(clock: list[float]) -> None:
    absences = Absences()
    for _ in range(2):
        absences.failed(*PLACE, 10.0)
    for pause in (20.0, 40.0, 80.0):
        clock[0] += pause / 2
        absences.check(*PLACE)
        clock[0] += 1.0  # refused at once, or after a long wait
        absences.failed(*PLACE, 10.0)
        with pytest.raises(ChatError, match=f"for {pause:.0f} s more"):
            absences.check(*PLACE)


def test_an_answer_between_failures_is_enough(clock: list[float]) -> None:
    absences = Absences()
    for _ in range(5):
        absences.failed(*PLACE, 10.0)
        absences.answered(*PLACE)
    absences.check(*PLACE)
