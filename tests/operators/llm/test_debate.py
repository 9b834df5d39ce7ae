from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from evolve.errors import ExperimentError
from evolve.genomes.program.program import Program
from evolve.score import Record
from operators.llm.debate import Debate, break_ties
from operators.llm.judging import LanguageJudge, MetricJudge
from tests.evolve.chat.server import Asked, Behaviour, FakeServer, Say, serve
from tests.operators.llm.cases import (
    LATER,
    OBJECTIVES,
    START,
    TASK,
    WIDER,
    LanguageContract,
    edit,
    failed,
    number_of,
    record,
    rng,
    talk,
)


def debate(server: FakeServer) -> Debate:
    return Debate(talk(server), MetricJudge(len), OBJECTIVES, TASK)


class TestContract(LanguageContract[Program]):
    def operator(self) -> Debate:
        return debate(self.server)

    def parents(self, seed: int) -> Sequence[Record[Program]]:
        return [record(START)]

    def answer(self, asked: Asked) -> str:
        if "Carry out this idea" in asked.prompt:
            return edit("width = 8", f"width = {number_of(asked)}")
        return f"Idea {number_of(asked)}."


def script(n: int, asked: Asked) -> Behaviour:
    """Four ideas, the longest last but one; a longer one evolved of them; its edit."""
    if n == 5:
        return Say(edit("width = 8", "width = 12"))
    return Say(f"{'more ' * (2, 1, 7, 3, 9)[n]}width")


def test_the_best_idea_is_carried_out() -> None:
    with serve(script) as server:
        child = debate(server).vary([record(START)], rng())
        evolve, implement = server.asked[4].prompt, server.asked[5].prompt
        assert server.count == 6
    assert "1. more more more more more more more width\n2. " in evolve
    assert f"Carry out this idea, and nothing else: {'more ' * 9}width" in implement
    assert child.facts["regions"] == ["network"]
    assert child.facts["evolved"] is True
    rated = child.facts["ideas"]
    assert isinstance(rated, list)
    assert len(rated[0]["idea"].split()) == 10
    ratings = [each["rating"] for each in rated]
    assert ratings == sorted(ratings, reverse=True)
    assert sum(ratings) == pytest.approx(5 * 1200, abs=0.5)


def test_a_language_judge_keeps_its_transcripts_with_the_rest(tmp_path: Path) -> None:
    def judged(n: int, asked: Asked) -> Behaviour:
        if "Candidate 1:" in asked.prompt:
            return Say("1")
        return Say(edit("width = 8", "width = 3") if "Carry out" in asked.prompt else f"idea {n}")

    with serve(judged) as server:
        chat = talk(server)
        operator = Debate(chat, LanguageJudge(chat, "Which?"), OBJECTIVES, TASK, ideas=2, rounds=1)
        operator.at(tmp_path).vary([record(START)], rng())
        # two ideas, a match, the evolved one, two matches, the edit; a match is two questions
        assert server.count == 2 + 2 + 1 + 4 + 1
    assert (tmp_path / "transcripts.jsonl").read_bytes().count(b"\n") == server.count


def test_ties_are_broken_and_the_rest_stays() -> None:
    best = record(START, 99.0, birth=0)
    tied = [record(START, birth=1), record(WIDER, birth=2), record(LATER, birth=3)]
    broken = [failed(START, "x", birth=4), failed(WIDER, "x", birth=5)]
    outside = replace(tied[0], score=replace(tied[0].score, violation=1.0), birth=6)
    records = [tied[0], broken[0], best, tied[1], outside, tied[2], broken[1]]
    judge = MetricJudge(lambda text: float("rate / 2" in text) + 0.5 * float("16" in text))
    ordered = break_ties(records, judge, rng(), rounds=6)
    assert [each.birth for each in ordered] == [3, 4, 0, 2, 6, 1, 5]


def test_refuses_fields() -> None:
    with serve("") as server:
        for wrong in ({"ideas": 1}, {"rounds": 0}, {"task": ""}, {"lessons": -1}):
            with pytest.raises(ExperimentError):
                replace(debate(server), **wrong)
