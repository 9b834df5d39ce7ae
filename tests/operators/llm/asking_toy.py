"""A search that asks a language model, on a program whose score is read off its source.

Written to a folder of its own by the tests and run from there, as a user's file would be.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evolve import Experiment, Genetic, Needs, Objective, Record, Score, Steady
from evolve.chat import Chat
from evolve.genomes.program.program import Program
from evolve.search.credit import Bandit
from operators.llm import CodeCrossover, CodeMutation, EvolutionOfThought
from operators.selection import NSGA2, Tournament

START = Program(
    {
        "net.py": """# EVOLVE-BLOCK-START network
width = 8
depth = 2
# EVOLVE-BLOCK-END
LABELS = 10
# EVOLVE-BLOCK-START schedule
rate = 64
# EVOLVE-BLOCK-END
"""
    }
)
GOALS = (Objective("distance"), Objective("literals"))


@dataclass(frozen=True)
class Read:
    """How far the numbers of a program are from 100, and how many there are."""

    objectives: tuple[Objective, ...] = GOALS
    rungs: tuple[int, ...] = (1,)
    needs: Needs = field(default_factory=Needs)

    def evaluate(self, genomes: Sequence[Program], rung: int, seed: int) -> list[Score]:
        return [self._one(genome) for genome in genomes]

    def _one(self, genome: Program) -> Score:
        nodes = ast.walk(ast.parse(genome.normal["net.py"]))
        found = [n.value for n in nodes if isinstance(n, ast.Constant)]
        numbers = [float(value) for value in found if isinstance(value, int | float)]
        if max(numbers) > 900:
            return Score.failed("exception: a number beyond 900")
        return Score((sum(abs(number - 100.0) for number in numbers), float(len(numbers))))


@dataclass(frozen=True)
class Nudge:
    """The built-in mutation: another width."""

    name: str = "nudge"
    arity: int = 1
    needs: Needs | None = None

    def vary(self, parents: Sequence[Record[Program]], rng: np.random.Generator) -> Program:
        depth = int(rng.integers(2, 500))
        return parents[0].genome.swapped({"network": f"width = 8\ndepth = {depth}\n"})


def search() -> Genetic[Program]:
    chat = Chat.from_environment()
    assert chat is not None, "the tests name a model"
    chat, task = replace(chat, timeout=3.0), "Numbers."
    return Genetic(
        founders=[START],
        operators=[
            CodeMutation(chat, GOALS, task),
            CodeCrossover(chat, GOALS, task),
            EvolutionOfThought(chat, GOALS, task, START),
            Nudge(),
        ],
        selection=NSGA2(),
        mating=Tournament(),
        objectives=GOALS,
        size=6,
        pace=Steady(6),
        weights=[3, 1, 1, 2],
        bandit=Bandit(explore=0.8),
    )


experiment = Experiment("asking", search, Read(), births=30)
