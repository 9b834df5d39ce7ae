"""A language model as an evolution strategy (EvoLLM) on two functions in the manner of BBOB.

    evolve run experiments/evollm_bbob.py --llm-base-url http://localhost:8000/v1 --llm-model NAME
    evolve run experiments/evollm_bbob.py:rosenbrock --llm-base-url ... --llm-model NAME

BBOB's Rastrigin and Rosenbrock functions (Hansen, Finck, Ros & Auger 2009, f3 and f8) with an
optimum drawn anew and without their further transformations: a model cannot know where it lies.
Nothing here says that a model is good at it: run `experiments/dtlz.py`'s operators beside it.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from evolve import Experiment, Genetic, Steady
from evolve.chat import Chat
from evolve.errors import ExperimentError
from evolve.genomes.vector import Box, Vector
from evolve.streams import Stream, rng_for
from fitness.problems import Formula, Problem, rastrigin
from operators.llm import EvoLLM
from operators.selection import Tournament, Truncation

D, SIZE = 5, 20
box = Box.of(-5.0, 5.0, D)
optimum = rng_for(2009, 0, Stream.EVALUATE).uniform(-4.0, 4.0, D)


def shifted_rastrigin(x: np.ndarray, m: int) -> Sequence[float]:
    """Many regular minima; optimum 0 at `optimum`."""
    return rastrigin(x - optimum, m)


def shifted_rosenbrock(x: np.ndarray, m: int) -> Sequence[float]:
    """A bent valley; optimum 0 at `optimum`."""
    z = x - optimum + 1.0
    return (float((100 * (z[:-1] ** 2 - z[1:]) ** 2 + (z[:-1] - 1) ** 2).sum()),)


def search(problem: Problem) -> Genetic[Vector]:
    """Random founders, then children of the model's means; the best survive."""
    chat = Chat.from_environment()
    if chat is None:
        raise ExperimentError(
            "evollm_bbob asks a language model and was given none; give --llm-model and, for a "
            "server of your own, --llm-base-url http://HOST:PORT/v1, with its key in "
            "OPENAI_API_KEY."
        )
    return Genetic(
        founders=[Vector.random(box, rng_for(1, i, Stream.ASK)) for i in range(SIZE)],
        operators=[EvoLLM(chat, problem.objectives, arity=8)],
        selection=Truncation(),
        mating=Tournament(),
        objectives=problem.objectives,
        size=SIZE,
        pace=Steady(window=4),
    )


def asking(name: str, formula: Formula) -> Experiment[Vector]:
    problem = Problem(formula)
    return Experiment(
        name=f"evollm_{name}",
        search=partial(search, problem),
        fitness=problem,
        births=200,
    )


experiment = asking("rastrigin", shifted_rastrigin)
rosenbrock = asking("rosenbrock", shifted_rosenbrock)
