from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evolve.chat import Chat
from evolve.errors import ExperimentError, Infertile
from evolve.genomes.program.edits import changed_regions
from evolve.genomes.program.program import Program
from evolve.score import Record
from evolve.variation import Learning, Recording
from operators.llm.code import CodeCrossover, CodeMutation
from operators.llm.wording import Style
from tests.evolve.chat.server import Asked, FakeServer, serve
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
    region,
    rng,
    saying,
    talk,
)

POPULATION = [record(WIDER, 92.0), record(START, birth=1), record(LATER, 91.0, 400, birth=2)]


class TestContractOfCodeMutation(LanguageContract[Program]):
    def operator(self) -> CodeMutation:
        return CodeMutation(talk(self.server), OBJECTIVES, TASK)

    def parents(self, seed: int) -> Sequence[Record[Program]]:
        return POPULATION

    def answer(self, asked: Asked) -> str:
        return edit("depth = 2", f"depth = {number_of(asked)}")


class TestContractOfWholeRegions(LanguageContract[Program]):
    def operator(self) -> CodeMutation:
        return CodeMutation(talk(self.server), OBJECTIVES, TASK, whole=True, inspirations=0)

    def parents(self, seed: int) -> Sequence[Record[Program]]:
        return POPULATION[:1]

    def answer(self, asked: Asked) -> str:
        return region("schedule", f"rate = {number_of(asked)}\nreturn rate")


class TestContractOfCodeCrossover(LanguageContract[Program]):
    def operator(self) -> CodeCrossover:
        return CodeCrossover(talk(self.server), OBJECTIVES, TASK)

    def parents(self, seed: int) -> Sequence[Record[Program]]:
        return POPULATION[:2]

    def answer(self, asked: Asked) -> str:
        return region("network", f"width = {number_of(asked)}\ndepth = 2")

    def test_child_of_identical_parents_is_legal(self) -> None:
        with pytest.raises(Infertile, match="do not differ"):
            self.child([POPULATION[0], POPULATION[0]])


def mutation(server: FakeServer) -> CodeMutation:
    return CodeMutation(talk(server), OBJECTIVES, TASK, inspirations=0)


def test_the_prompt_holds_all_that_is_known() -> None:
    operator_parents = [record(START), record(LATER, 80.0, birth=2), record(WIDER, 95.0, birth=1)]
    lesson = failed(WIDER, "timeout: 60 s of training", "File net.py, line 5")
    with serve(edit("width = 8", "width = 9")) as server:
        operator = CodeMutation(talk(server), OBJECTIVES, TASK)
        operator.vary([*operator_parents, lesson], rng())
        prompt = server.asked[0].prompt
    parts = [
        TASK,
        "- accuracy (%): higher is better",
        "```python net.py",
        "Only these regions may change: network, schedule.",
        "- accuracy: 90 %",
        "return rate / 2",  # the worse inspiration first
        "width = 16",
        "timeout: 60 s of training",
        "File net.py, line 5",
        "What to do:",
        "<<<<<<< SEARCH",
    ]
    places = [prompt.index(part) for part in parts]
    assert places == sorted(places)
    assert "$" not in prompt


def test_messages_depend_on_parents_and_generator_alone(tmp_path: Path) -> None:
    with serve(edit("width = 8", "width = 9")) as server:
        for folder in (tmp_path / "a", tmp_path / "b"):
            operator = CodeMutation(talk(server), OBJECTIVES, TASK).at(folder)
            parents = [record(START), record(LATER, birth=1), record(WIDER, birth=2)]
            operator.vary(parents, rng())
        assert server.asked[0].body == server.asked[1].body
    keys = [(tmp_path / name / "transcripts.jsonl").read_text()[:80] for name in "ab"]
    assert keys[0] == keys[1]


def test_a_malformed_answer_is_repaired() -> None:
    with serve(saying("Make it wider!", edit("width = 8", "width = 9"))) as server:
        child = mutation(server).vary([record(START)], rng())
        assert "no SEARCH/REPLACE block" in server.asked[1].prompt
    assert child.facts["regions"] == ["network"]
    assert "no SEARCH/REPLACE block" in str(child.facts["repaired"])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (edit("LABELS = 10", "LABELS = 1"), "outside of the evolvable regions"),
        (edit("width = 8", "width = 8  # wide"), "nothing but comments"),
        (edit("width = 8", "width = \u202e8"), r"U\+202E"),
        ("width = 9", "no SEARCH/REPLACE block"),
    ],
)
def test_what_is_refused_twice_is_infertile(answer: str, reason: str) -> None:
    with serve(answer) as server:
        with pytest.raises(Infertile, match=reason):
            mutation(server).vary([record(START)], rng())
        assert server.count == 2


def test_a_rewrite_without_a_fence_is_taken_where_there_is_one_region() -> None:
    one = Program({"a.py": "# EVOLVE-BLOCK-START a\nx = 1\n# EVOLVE-BLOCK-END\n"})
    with serve("x = 2\n") as server:
        operator = CodeMutation(talk(server), OBJECTIVES, TASK, whole=True, inspirations=0)
        child = operator.vary([record(one)], rng())
    assert child.genome.regions == {"a": "x = 2\n"}
    assert child.facts["family"] == "rewrite"


def test_a_crossover_unites_two_parents() -> None:
    both = region("network", "width = 16\ndepth = 2") + region(
        "schedule", "rate = 0.1\nreturn 0.05"
    )
    with serve(both) as server:
        operator = CodeCrossover(talk(server), OBJECTIVES, TASK)
        child = operator.vary([record(WIDER, 92.0), record(LATER, 91.0, birth=1)], rng())
        prompt = server.asked[0].prompt
    assert changed_regions(LATER, child.genome) == ("network", "schedule")
    assert child.facts["regions"] == ["schedule"]
    assert prompt.index("- accuracy: 92 %") < prompt.index("- accuracy: 91 %")
    assert "return rate / 2" in prompt


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (region("network", "width = 8\ndepth = 2"), "program B as it is"),
        (region("schedule", "return 3"), "change network only"),
    ],
)
def test_a_crossover_is_neither_parent_and_stays_within(answer: str, reason: str) -> None:
    with serve(answer) as server:
        operator = CodeCrossover(talk(server), OBJECTIVES, TASK)
        with pytest.raises(Infertile, match=reason):
            operator.vary([record(WIDER), record(START, birth=1)], rng())


def test_a_crossover_of_strangers_is_infertile() -> None:
    stranger = Program({"net.py": START.files["net.py"].replace("LABELS = 10", "LABELS = 9")})
    with serve("") as server:
        operator = CodeCrossover(talk(server), OBJECTIVES, TASK)
        with pytest.raises(Infertile, match="different protected text"):
            operator.vary([record(WIDER), record(stranger, birth=1)], rng())


def test_they_learn_record_and_wait() -> None:
    chat = Chat("fake")
    edits = CodeMutation(chat, OBJECTIVES, TASK)
    others = (
        CodeMutation(chat, OBJECTIVES, TASK, whole=True),
        CodeCrossover(chat, OBJECTIVES, TASK),
    )
    for operator in (edits, *others):
        assert operator.needs is not None
        assert operator.needs.waits
        assert isinstance(operator, Learning)
        assert isinstance(operator, Recording)
    assert replace(edits, inspirations=3).arity == 4


def test_a_style_decides_who_speaks_and_how_warmly() -> None:
    style = Style(("role_gardener",), ("aim_tune",), (0.9,))
    with serve(edit("width = 8", "width = 9")) as server:
        child = replace(mutation(server), style=style).vary([record(START)], rng())
        body = server.asked[0].body
    assert "orchard" in body["messages"][0]["content"]
    assert "numbers and settings only" in body["messages"][1]["content"]
    assert body["temperature"] == child.facts["temperature"] == 0.9
    assert (child.facts["prompt"], child.facts["aim"]) == ("role_gardener", "aim_tune")


@pytest.mark.parametrize(
    "wrong", [{"inspirations": -1}, {"lessons": -1}, {"task": ""}, {"objectives": ()}]
)
def test_refuses_fields(wrong: dict[str, Any]) -> None:
    with pytest.raises(ExperimentError):
        replace(CodeMutation(Chat("fake"), OBJECTIVES, TASK), **wrong)
