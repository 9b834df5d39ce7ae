from __future__ import annotations

from pathlib import Path

import pytest

from evolve.chat import Cap, Chat
from evolve.errors import (
    BudgetSpent,
    ChatForbidden,
    ExperimentError,
    GenomeError,
    Infertile,
)
from evolve.genomes.vector import Box, Vector
from operators.llm.asking import check, conceived, taught
from operators.llm.wording import Draw
from tests.evolve.chat.server import Refuse, Say, serve
from tests.operators.llm.cases import OBJECTIVES, START, TASK, record, saying, talk

DRAW = Draw("plain_direct", "aim_free", 0.6, 11)
BOX = Box.of(0.0, 9.0, 1)


def number(answer: str) -> Vector:
    """A stand-in for what edits and means do."""
    if not answer.strip().isdigit():
        raise GenomeError(f"{answer!r} is no number; give digits.")
    return Vector(BOX.low + int(answer), BOX)


def test_a_good_answer_is_taken_at_once() -> None:
    with serve("3") as server:
        child = conceived(talk(server), "which?", number, DRAW, {"family": "n"})
        assert server.count == 1
    assert child.genome.values.tolist() == [3.0]
    assert child.facts["family"] == "n"
    assert child.facts["prompt"] == "plain_direct"
    assert "repaired" not in child.facts


def test_a_refused_answer_is_repaired_once_with_the_reason() -> None:
    with serve(saying("<think>\nhm</think>three", "3")) as server:
        child = conceived(talk(server), "which?", number, DRAW, {})
        roles = [message["role"] for message in server.asked[1].body["messages"]]
        said = [message["content"] for message in server.asked[1].body["messages"]]
        assert server.asked[1].body["temperature"] == 0.6
    assert roles == ["system", "user", "assistant", "user"]
    assert said[2] == "three"
    assert "three' is no number; give digits." in said[3]
    assert "is no number; give digits." in str(child.facts["repaired"])
    assert len(child.facts["transcripts"]) == 2  # type: ignore[arg-type]


def test_refused_twice_is_infertile_with_both_reasons() -> None:
    with serve(saying("three", "four", "3")) as server:
        with pytest.raises(Infertile, match=r"'three' is no number.*repair \('four' is no"):
            conceived(talk(server), "which?", number, DRAW, {})
        assert server.count == 2


def test_what_the_chat_raises_goes_on() -> None:
    with serve(lambda n, asked: Refuse(401)) as server, pytest.raises(ChatForbidden):
        conceived(talk(server), "which?", number, DRAW, {})
    with serve("3") as server:
        poor = Chat("fake", base_url=server.base_url, cap=Cap(tokens=5))
        with pytest.raises(BudgetSpent):
            conceived(poor, "which?", number, DRAW, {})


def test_usage_is_summed_and_estimates_are_marked() -> None:
    replies = [Say("three", usage=(100, 7)), Say("3", reports_usage=False)]
    with serve(lambda n, asked: replies[n]) as server:
        facts = conceived(talk(server), "which?", number, DRAW, {}).facts
    assert int(str(facts["tokens_in"])) > 100
    assert facts["tokens_out"] == 7 + 1
    assert facts["estimated"] is True


def test_a_resumed_variation_asks_nothing(tmp_path: Path) -> None:
    with serve(saying("three", "3")) as server:
        first = conceived(talk(server, tmp_path), "which?", number, DRAW, {})
    with serve("9") as other:  # the port is no part of the key
        again = conceived(talk(other, tmp_path), "which?", number, DRAW, {})
        assert other.count == 0
    assert again.facts == first.facts


def test_parents_and_lessons_are_told_apart() -> None:
    records = [record(START, birth=i) for i in range(5)]
    assert taught(records[:3], 2, 2, "x") == (records[:2], records[2:3])
    for n in (1, 5):
        with pytest.raises(ExperimentError, match="x was given"):
            taught(records[:n], 2, 2, "x")


def test_refuses_what_cannot_be_asked_about() -> None:
    with pytest.raises(ExperimentError, match="no objectives"):
        check("x", (), TASK, {})
    with pytest.raises(ExperimentError, match="no task"):
        check("x", OBJECTIVES, " ", {})
    with pytest.raises(ExperimentError, match="lessons=-1"):
        check("x", OBJECTIVES, TASK, {"lessons": -1})
