from __future__ import annotations

from collections.abc import Sequence

import pytest

from evolve.errors import Infertile
from evolve.genomes.program.program import Program
from evolve.score import Record
from operators.llm.thought import LONGEST, EvolutionOfThought, paragraph
from tests.evolve.chat.server import Asked, FakeServer, serve
from tests.operators.llm.cases import (
    OBJECTIVES,
    START,
    TASK,
    WIDER,
    LanguageContract,
    failed,
    number_of,
    record,
    region,
    rng,
    saying,
    talk,
)

WHY = "Capacity was short.\n\nGive more of it\twhere little is."


def thought(server: FakeServer, start: Program = START) -> EvolutionOfThought:
    return EvolutionOfThought(talk(server), OBJECTIVES, TASK, start)


class TestContract(LanguageContract[Program]):
    def operator(self) -> EvolutionOfThought:
        return thought(self.server)

    def parents(self, seed: int) -> Sequence[Record[Program]]:
        return [record(WIDER, 92.0)]

    def answer(self, asked: Asked) -> str:
        if "Why may the change have helped?" in asked.prompt:
            return WHY
        return region("schedule", f"return {number_of(asked)}")

    def test_needs_no_score(self) -> None:
        with pytest.raises(Infertile, match="learns from a success; this parent failed"):
            self.child([failed(WIDER, "exception: x")])


def test_asks_why_and_then_applies_the_principle_elsewhere() -> None:
    with serve(saying(WHY, region("schedule", "return 0.2"))) as server:
        child = thought(server).vary([record(WIDER, 92.0)], rng())
        why, apply = (asked.prompt for asked in server.asked)
    assert "once read:\n\n```python network\nwidth = 8" in why
    assert "Now it reads:\n\n```python network\nwidth = 16" in why
    assert "- accuracy: 92 %" in why
    principle = "Capacity was short. Give more of it where little is."
    assert principle in apply
    assert "apply this principle to the region schedule" in apply
    assert child.facts["principle"] == principle
    assert child.facts["learnt_from"] == "network"
    assert child.facts["regions"] == ["schedule"]
    assert len(child.facts["transcripts"]) == 2  # type: ignore[arg-type]


def test_the_region_that_taught_stays_as_it_is() -> None:
    with serve(saying(WHY, region("network", "width = 1"))) as server:
        with pytest.raises(Infertile, match="change schedule only"):
            thought(server).vary([record(WIDER)], rng())
        assert server.count == 3


def test_needs_a_change_and_another_region() -> None:
    one = Program({"a.py": "# EVOLVE-BLOCK-START a\nx = 1\n# EVOLVE-BLOCK-END\n"})
    with serve(WHY) as server:
        with pytest.raises(Infertile, match="do not differ"):
            thought(server).vary([record(START)], rng())
        with pytest.raises(Infertile, match="to another region; there is one"):
            thought(server, one).vary([record(one.swapped({"a": "x = 2\n"}))], rng())
        assert server.count == 0


def test_a_principle_is_one_short_line() -> None:
    text = paragraph("<think>so</think>" + "word \n" * 500)
    assert len(text) <= LONGEST + 4
    assert text.endswith("word ...")
    with pytest.raises(Infertile, match="says nothing"):
        paragraph("<think>hm</think>\n")
