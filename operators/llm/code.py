"""Changes of a program by a language model: edits, whole regions, and crossover.

All show the program, its results, programs that inspire (worst to best) and changes that failed.
Knows no endpoint: a `Chat` asks. What an answer may change is `evolve.genomes.program.edits`'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from evolve.chat import Chat
from evolve.errors import GenomeError
from evolve.genomes.program.edits import edited, rewritten
from evolve.genomes.program.program import Program
from evolve.score import Needs, Objective, Record
from evolve.variation import Offspring
from operators.llm import telling
from operators.llm.asking import BESIDE, check, taught
from operators.llm.questions import context, different, edits_form, grown, regions_form, within
from operators.llm.wording import Style, filled, said


@dataclass(frozen=True)
class CodeMutation:
    """SEARCH/REPLACE edits of the first parent, or `whole` new regions; the `inspirations` others
    are shown beside it.

    `task`: what the program is for, in a sentence or two. `lessons`: how many failed children it
    may be shown.
    """

    chat: Chat
    objectives: tuple[Objective, ...]
    task: str
    whole: bool = False
    inspirations: int = 2
    lessons: int = 2
    style: Style = field(default_factory=Style)
    needs: Needs | None = BESIDE

    def __post_init__(self) -> None:
        counts = {"inspirations": self.inspirations, "lessons": self.lessons}
        check(self.name, self.objectives, self.task, counts)

    @property
    def name(self) -> str:
        return "llm_rewrite" if self.whole else "llm_edits"

    @property
    def arity(self) -> int:
        return 1 + self.inspirations

    def at(self, folder: Path) -> Self:
        return replace(self, chat=self.chat.at(folder))

    def vary(
        self, parents: Sequence[Record[Program]], rng: np.random.Generator
    ) -> Offspring[Program]:
        """Raises `Infertile` if an answer and its repair are refused."""
        parents, failed = taught(parents, self.arity, self.lessons, self.name)
        draw, parent = self.style.draw(rng), parents[0].genome
        form = regions_form(tuple(parent.regions)) if self.whole else edits_form(parent)
        parts = context(self.task, self.objectives, parents, failed) | {
            "aim": said(draw.aim),
            "form": form,
        }
        apply, family = (rewritten, "rewrite") if self.whole else (edited, "edits")
        question = filled("change", parts)
        return grown(self.chat, parent, question, partial(apply, parent), draw, family)


@dataclass(frozen=True)
class CodeCrossover:
    """Two parents' versions of the regions in which they differ, made into one by the model.

    Fields as of `CodeMutation`.
    """

    chat: Chat
    objectives: tuple[Objective, ...]
    task: str
    lessons: int = 2
    style: Style = field(default_factory=Style)
    name: str = "llm_crossover"
    arity: int = 2
    needs: Needs | None = BESIDE

    def __post_init__(self) -> None:
        check(self.name, self.objectives, self.task, {"lessons": self.lessons})

    def at(self, folder: Path) -> Self:
        return replace(self, chat=self.chat.at(folder))

    def vary(
        self, parents: Sequence[Record[Program]], rng: np.random.Generator
    ) -> Offspring[Program]:
        """Raises `Infertile` for parents that do not differ or are of different start programs,
        and if an answer and its repair are refused."""
        (first, second), failed = taught(parents, self.arity, self.lessons, self.name)
        draw, ours, theirs = self.style.draw(rng), first.genome, second.genome
        differing = different(ours, theirs, self.name)
        parts = context(self.task, self.objectives, [first], failed) | {
            "differing": ", ".join(differing),
            "mate": telling.regions_text(theirs, differing),
            "mate_results": telling.results(second, self.objectives),
            "form": regions_form(differing),
        }

        def united(answer: str) -> Program:
            child = within(ours, rewritten(ours, answer), differing)
            if child.normal == theirs.normal:
                raise GenomeError("The answer is program B as it is; unite it with A.")
            return child

        return grown(self.chat, ours, filled("cross", parts), united, draw, "crossover")
