"""The operators on program source that this machine has, and the search that mixes them.

Built-in ones, and a model's with a key. Knows no program.
"""

from __future__ import annotations

from collections.abc import Sequence

from evolve import Genetic, Steady
from evolve.chat import Chat
from evolve.failure import Policy
from evolve.genomes.program.program import Program
from evolve.score import Objective
from evolve.search.credit import Bandit
from evolve.variation import Operator
from fitness.harness import Classification, check_start
from operators.code import WEIGHTS, RegionCrossover, crossovers, literals, mutators
from operators.selection import NSGA2, Tournament

# The same code fails again, and an answer that was refused has been repaired once already.
ONCE = Policy(exception=1, timeout=1, out_of_memory=1, infertile=1)


def built_in() -> list[Operator[Program]]:
    """Mutations and crossovers that need neither model nor network."""
    return [*mutators(), *crossovers()]


def code_operators(
    objectives: Sequence[Objective], task: str, start: Program, *, networks: bool = True
) -> list[Operator[Program]]:
    """The built-in ones, and the language model's where `EVOLVE_LLM_MODEL` names one.

    `networks`: whether the program defines one; else numbers and whole regions alone change.
    `task`: what the program is for, in a sentence or two, for a model.
    Raises `ExperimentError` if the model cannot be asked: no key, or no package openai.
    """
    chat = Chat.from_environment()
    own: list[Operator[Program]] = built_in() if networks else [literals(), RegionCrossover()]
    if chat is None:
        return own
    chat.check()
    from operators.llm import operators_of

    return [*own, *operators_of(chat, objectives, task, start)]


def shares(operators: Sequence[Operator[Program]]) -> list[float]:
    """The shares of births that they begin with; 1 is usual."""
    return [WEIGHTS.get(operator.name, 1.0) for operator in operators]


def front_search(
    start: Program,
    fitness: Classification,
    operators: Sequence[Operator[Program]],
    *,
    size: int = 20,
    window: int = 8,
) -> Genetic[Program]:
    """NSGA-II from one start program, which must work: the front, widely spread, has the
    children, and operators have births by their credit. Raises `FitnessError` for the start."""
    return Genetic(
        founders=[check_start(start, fitness)],
        operators=operators,
        selection=NSGA2(),
        mating=Tournament(),
        objectives=fitness.objectives,
        size=size,
        pace=Steady(window=window),
        weights=shares(operators),
        bandit=Bandit(),
    )
