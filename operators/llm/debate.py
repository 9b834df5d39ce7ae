"""Debate: ideas compete in a judge's tournament, and the best is carried out.

After the AI co-scientist (Gottweis et al. 2025): generate, compare in pairs, rate by Elo, evolve
the best ideas once, compare again. And ties that metrics leave are broken by the same judges.
Knows no endpoint: a `Chat` asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from evolve.chat import Chat, Reply
from evolve.errors import ExperimentError
from evolve.genome import Json
from evolve.genomes.program.edits import edited
from evolve.genomes.program.program import Program
from evolve.score import Needs, Objective, Record
from evolve.variation import Offspring, Recording
from operators.llm import telling
from operators.llm.asking import BESIDE, asked, check, taught
from operators.llm.judging import Judge, elo, paired, tournament
from operators.llm.questions import context, edits_form, grown
from operators.llm.thought import paragraph
from operators.llm.wording import Style, filled, said

SHOWN = 3  # ideas that the evolved one is made of


@dataclass(frozen=True)
class Debate:
    """The best of `ideas` ideas and of one evolved from them, carried out as edits.

    `judge` compares ideas, as texts: all in `rounds` of random pairs, then the evolved one with
    each of the three best. Ideas with their ratings are facts of the birth; what a judge asks is
    in its own transcripts, not in the sum of tokens. Other fields as of `CodeMutation`.
    """

    chat: Chat
    judge: Judge
    objectives: tuple[Objective, ...]
    task: str
    ideas: int = 4
    rounds: int = 2
    lessons: int = 2
    style: Style = field(default_factory=Style)
    name: str = "llm_debate"
    arity: int = 1
    needs: Needs | None = BESIDE

    def __post_init__(self) -> None:
        check(self.name, self.objectives, self.task, {"lessons": self.lessons})
        if self.ideas < 2 or self.rounds < 1:
            raise ExperimentError(
                f"{self.name} has ideas={self.ideas}, rounds={self.rounds}; give 2 or more ideas "
                "and 1 or more rounds."
            )

    def at(self, folder: Path) -> Self:
        judge = self.judge
        placed = judge.at(folder) if isinstance(judge, Recording) else judge
        return replace(self, chat=self.chat.at(folder), judge=placed)

    def vary(
        self, parents: Sequence[Record[Program]], rng: np.random.Generator
    ) -> Offspring[Program]:
        """Raises `Infertile` if an answer and its repair are refused."""
        (first,), failed = taught(parents, self.arity, self.lessons, self.name)
        parent = first.genome
        parts = context(self.task, self.objectives, [first], failed)
        replies: list[Reply] = []
        ideas: list[str] = []
        for _ in range(self.ideas):
            draw = self.style.draw(rng)
            question = filled("idea", parts | {"aim": said(draw.aim)})
            replies.append(asked(self.chat, said(draw.opening), question, draw)[1])
            ideas.append(paragraph(replies[-1].text))
        matches = paired(ideas, self.judge, rng, self.rounds)
        best = best_first(elo(len(ideas), matches))[:SHOWN]
        draw = self.style.draw(rng)
        listed = "\n".join(f"{place}. {ideas[i]}" for place, i in enumerate(best, start=1))
        question = filled("ideas", parts | {"ideas": listed})
        replies.append(asked(self.chat, said(draw.opening), question, draw)[1])
        new = len(ideas)
        ideas.append(paragraph(replies[-1].text))
        matches += [(new, i, self.judge.prefers(ideas[new], ideas[i], rng)) for i in best]
        ratings = elo(len(ideas), matches)
        order = best_first(ratings)
        rated: list[Json] = [{"idea": ideas[i], "rating": round(ratings[i], 1)} for i in order]
        aim = filled("implement", {"idea": ideas[order[0]]})
        question = filled("change", parts | {"aim": aim, "form": edits_form(parent)})
        facts: dict[str, Json] = {"ideas": rated, "evolved": order[0] == new}
        apply = partial(edited, parent)
        return grown(self.chat, parent, question, apply, draw, "debate", facts, replies)


def best_first(ratings: Sequence[float]) -> list[int]:
    """Indices by rating, equals by place."""
    return sorted(range(len(ratings)), key=lambda i: (-ratings[i], i))


def break_ties(
    records: Sequence[Record[Program]], judge: Judge, rng: np.random.Generator, rounds: int = 2
) -> list[Record[Program]]:
    """`records` with those of equal values and violation put in order, best first, by `judge`.

    The judge sees the text of their regions. Others stay where they are, and so do failures.
    """
    ordered = list(records)
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, record in enumerate(records):
        if record.score.error is None:
            alike = (*record.score.values, record.score.violation)
            groups.setdefault(alike, []).append(place)
    for places in groups.values():
        if len(places) > 1:
            tied = [records[place] for place in places]
            texts = [telling.regions_text(r.genome, tuple(r.genome.regions)) for r in tied]
            ratings = tournament(texts, judge, rng, rounds)
            for place, winner in zip(places, best_first(ratings)):
                ordered[place] = tied[winner]
    return ordered
