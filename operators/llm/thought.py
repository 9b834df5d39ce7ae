"""Evolution of Thought: learn from a success why it was one, and do the same elsewhere.

Guided Evolution (Morris et al. 2024). Two requests: the first shows a region of the start program
and what became of it, and asks for the principle; the second applies the principle to another
region. Knows no endpoint: a `Chat` asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from evolve.chat import Chat
from evolve.errors import Infertile
from evolve.genomes.program.answer import spoken
from evolve.genomes.program.edits import rewritten
from evolve.genomes.program.program import Program
from evolve.score import Needs, Objective, Record
from evolve.variation import Offspring
from operators.llm import telling
from operators.llm.asking import BESIDE, asked, check, taught
from operators.llm.questions import context, different, grown, regions_form, within
from operators.llm.wording import Style, filled, said

LONGEST = 600  # characters of a principle


@dataclass(frozen=True)
class EvolutionOfThought:
    """The principle of a parent's change since `start`, applied to another of its regions.

    The region that taught and the one that learns are drawn. The principle is a fact of the
    birth. Fields as of `CodeMutation`.
    """

    chat: Chat
    objectives: tuple[Objective, ...]
    task: str
    start: Program
    lessons: int = 2
    style: Style = field(default_factory=Style)
    name: str = "llm_thought"
    arity: int = 1
    needs: Needs | None = BESIDE

    def __post_init__(self) -> None:
        check(self.name, self.objectives, self.task, {"lessons": self.lessons})

    def at(self, folder: Path) -> Self:
        return replace(self, chat=self.chat.at(folder))

    def vary(
        self, parents: Sequence[Record[Program]], rng: np.random.Generator
    ) -> Offspring[Program]:
        """Raises `Infertile` for a parent that failed, that is the start program, or that has one
        region; and if an answer and its repair are refused."""
        (success,), failed = taught(parents, self.arity, self.lessons, self.name)
        draw, parent = self.style.draw(rng), success.genome
        if success.score.error is not None:
            raise Infertile(f"{self.name} learns from a success; this parent failed.")
        changed = different(self.start, parent, self.name)
        region = changed[int(rng.integers(len(changed)))]
        others = [name for name in parent.regions if name != region]
        if not others:
            raise Infertile(f"{self.name} applies a principle to another region; there is one.")
        target = others[int(rng.integers(len(others)))]
        parts = context(self.task, self.objectives, [success], failed) | {
            "region": region,
            "target": target,
            "before": telling.regions_text(self.start, [region]),
            "after": telling.regions_text(parent, [region]),
            "form": regions_form([target]),
        }
        _, reply = asked(self.chat, said(draw.opening), filled("why", parts), draw)
        parts["principle"] = paragraph(reply.text)

        def applied(answer: str) -> Program:
            return within(parent, rewritten(parent, answer), [target])

        facts = {"principle": parts["principle"], "learnt_from": region}
        question = filled("apply", parts)
        return grown(self.chat, parent, question, applied, draw, "thought", facts, [reply])


def paragraph(answer: str) -> str:
    """`answer` on one line, at most `LONGEST` characters. Raises `Infertile` for nothing."""
    text = " ".join(spoken(answer).split())
    if not text:
        raise Infertile("The answer to the question for a principle says nothing.")
    return text if len(text) <= LONGEST else text[:LONGEST].rpartition(" ")[0] + " ..."
