"""Evolve the source of a small network on Fashion-MNIST: accuracy against parameters.

    evolve run experiments/code_fashion.py

An illustration: 6,000 of the 60,000 training images and three epochs a candidate, so that a
processor is enough. Its accuracies are those of little training and compare with nothing
published. The pictures are fetched at the first run (31 MB).
"""

from dataclasses import replace
from pathlib import Path

from evolve import Experiment, Final, Genetic
from evolve.export.program import ProgramExporter
from evolve.genomes.program.program import Program
from experiments.material.fashion import fashion
from experiments.material.images import scored_on
from experiments.mutators import ONCE, code_operators, front_search
from fitness.harness import Bounds, Classification
from fitness.sandbox import Limits

TASK = (
    "It defines and trains a small network that tells ten kinds of clothes apart on pictures of "
    "28 x 28 pixels, in 3 epochs over 6,000 of them. It shall be accurate with few parameters."
)

start = Program.read(Path(__file__).parent / "programs" / "fashion.py")
validation = Classification(
    start,
    scored_on(fashion(), "validation"),
    rungs=(3,),
    bounds=Bounds(parameters=60_000, accuracy=0.6),
    keep_weights=True,
    limits=Limits(seconds=120),
)


def search() -> Genetic[Program]:
    """NSGA-II from one start program, which must work."""
    operators = code_operators(validation.objectives, TASK, start)
    return front_search(start, validation, operators)


experiment = Experiment(
    name="code_fashion",
    search=search,
    fitness=validation,
    births=150,
    final=Final(
        replace(validation, data=scored_on(fashion(), "test")),
        {"start": [start]},
        ProgramExporter(start, validation, __file__),
    ),
    policy=ONCE,
)
