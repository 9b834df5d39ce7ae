"""Evolve the source of a small network: accuracy against parameters on 8 x 8 digits.

    evolve run experiments/code_digits.py
    evolve run experiments/code_digits.py:free           # workers never wait for a slow model
    evolve run experiments/code_digits.py:iid            # children of the start program only
    evolve run experiments/code_digits.py:random_walk    # the same mutations, no selection

Minutes on two cores, with no key: the built-in mutator changes the source, a sandbox trains each
candidate from scratch for ten epochs. With a language model in the environment its operators take
part. Scored on validation images; the knee is tested once on a sealed split.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from evolve import Experiment, Final, Free
from evolve.export.program import ProgramExporter
from evolve.genomes.program.program import Program
from evolve.search.protocol import Search
from evolve.variation import Operator
from experiments.material.digits import digits
from experiments.material.images import scored_on
from experiments.mutators import ONCE, built_in, code_operators, front_search, shares
from experiments.unselected import Unselected
from fitness.harness import Bounds, Classification, check_start
from fitness.sandbox import Limits
from operators.code import Fresh

Operators: TypeAlias = "list[Operator[Program]]"

EPOCHS, BUDGET, FLOOR = 10, 10_000, 0.7  # epochs, parameters, validation accuracy
BIRTHS, SIZE, WINDOW = 150, 20, 8

TASK = (
    "It defines and trains a small network that tells handwritten digits of 8 x 8 pixels apart, "
    f"in {EPOCHS} epochs over 1,000 images. It shall be accurate with few parameters."
)

start = Program.read(Path(__file__).parent / "programs" / "digits.py")
validation = Classification(
    start,
    scored_on(digits(), "validation"),
    rungs=(EPOCHS,),
    bounds=Bounds(parameters=BUDGET, accuracy=FLOOR),
    keep_weights=True,
    limits=Limits(seconds=30),
)
test = replace(validation, data=scored_on(digits(), "test"))


def selected(operators: Operators) -> Search[Program]:
    """NSGA-II: the front, widely spread, has the children; operators by their credit."""
    return front_search(start, validation, operators, size=SIZE, window=WINDOW)


def from_start(operators: Operators) -> Search[Program]:
    """IID: each child is the start after one to four mutations, equally often."""
    first = check_start(start, validation)
    alone = [operator for operator in operators if operator.arity == 1]
    fresh = [
        Fresh(start, tuple(alone), steps, tuple(shares(alone)), f"fresh {steps}")
        for steps in (1, 2, 3, 4)
    ]
    return Unselected(first, fresh, validation.objectives, [1.0] * len(fresh), WINDOW)


def from_anybody(operators: Operators) -> Search[Program]:
    """The same operators on parents drawn evenly from everything that could be scored."""
    first = check_start(start, validation)
    return Unselected(first, operators, validation.objectives, shares(operators), WINDOW)


def made(
    name: str,
    search: Callable[[Operators], Search[Program]],
    operators: Callable[[], Operators] = built_in,
) -> Experiment[Program]:
    """An arm: the same start, fitness, births and, but for a model's, operators."""
    return Experiment(
        name=f"code_digits{name}",
        search=lambda: search(operators()),
        fitness=validation,
        births=BIRTHS,
        final=Final(
            test,
            {"start": [start]},
            ProgramExporter(start, validation, f"{__file__}:{name.lstrip('_') or 'experiment'}"),
        ),
        policy=ONCE,
    )


experiment = made("", selected, lambda: code_operators(validation.objectives, TASK, start))
free = replace(experiment, name="code_digits_free", order=Free())
iid = made("_iid", from_start)
random_walk = made("_random_walk", from_anybody)
