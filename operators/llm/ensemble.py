"""All operators on programs that ask a language model, for a search or a bandit to mix."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.chat import Chat
from evolve.genomes.program.program import Program
from evolve.score import Objective
from evolve.variation import Operator
from operators.llm.code import CodeCrossover, CodeMutation
from operators.llm.debate import Debate
from operators.llm.judging import LanguageJudge
from operators.llm.thought import EvolutionOfThought

QUESTION = "Two ideas for a change of a program, which is for this: {} Which idea is better?"


def operators_of(
    chat: Chat, objectives: Sequence[Objective], task: str, start: Program
) -> list[Operator[Program]]:
    """Edits, rewriting, crossover, evolution of thought (with two regions or more) and debate.

    A debate takes some 20 requests; the others take one to three.
    """
    goals = tuple(objectives)
    found: list[Operator[Program]] = [
        CodeMutation(chat, goals, task),
        CodeMutation(chat, goals, task, whole=True),
        CodeCrossover(chat, goals, task),
    ]
    if len(start.regions) > 1:
        found.append(EvolutionOfThought(chat, goals, task, start))
    judge = LanguageJudge(chat, QUESTION.format(task.strip()))
    return [*found, Debate(chat, judge, goals, task)]
