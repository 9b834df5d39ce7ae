"""Evolve a program that packs 26 circles into the unit square: the largest sum of radii.

    evolve run experiments/circle_packing.py
    python -m experiments.benchmarks.circle_baseline      # read this one first

The start program is plain and the built-in mutator knows no geometry. A standard solver reaches
the best known value, 2.63598, in a minute: a record here says much about solvers and little about
search, so this is a demonstration of the engine and of the verifier. With a language model in the
environment its operators take part.
"""

import math
from fractions import Fraction
from itertools import combinations
from pathlib import Path

from evolve import Experiment, Genetic, Steady
from evolve.genomes.program.program import Program
from evolve.score import Objective
from evolve.search.credit import Bandit
from experiments.mutators import ONCE, code_operators, shares
from fitness.harness import Single, check_start
from fitness.sandbox import Limits
from operators.selection import Tournament, Truncation

N = 26
SUM = Objective("sum of radii", maximise=True)


def verified(value: object) -> dict[str, float] | str:
    """The sum of radii of 26 rows x, y, r, or what is wrong with them: exact, no tolerance."""
    if not isinstance(value, list) or len(value) != N:
        return f"expected {N} rows x, y, radius, got {value!r:.60}"
    circles: list[tuple[Fraction, Fraction, Fraction]] = []
    for row in value:
        if not isinstance(row, list) or len(row) != 3:
            return f"expected a row x, y, radius, got {row!r:.60}"
        if not all(isinstance(number, float) and math.isfinite(number) for number in row):
            return f"expected finite floats, got {row!r:.60}"
        x, y, r = map(Fraction, row)  # exactly what the floats are
        if not (r > 0 and r <= x <= 1 - r and r <= y <= 1 - r):
            return f"the circle {row} is not inside the unit square"
        circles.append((x, y, r))
    for (x, y, r), (u, v, s) in combinations(circles, 2):
        if (x - u) ** 2 + (y - v) ** 2 < (r + s) ** 2:
            return (
                f"the circles at ({float(x):.6f}, {float(y):.6f}) and "
                f"({float(u):.6f}, {float(v):.6f}) overlap"
            )
    return {SUM.name: float(sum(r for _, _, r in circles))}


TASK = (
    "It places 26 circles in the unit square, none overlapping another, so that the sum of their "
    "radii is as large as possible, in 20 seconds at most."
)

start = Program.read(Path(__file__).parent / "programs" / "circles.py")
packing = Single(start, "pack", verified, (SUM,), Limits(seconds=20))


def search() -> Genetic[Program]:
    """One start program, which must work, and its descendants."""
    operators = code_operators(packing.objectives, TASK, start, networks=False)
    return Genetic(
        founders=[check_start(start, packing)],
        operators=operators,
        selection=Truncation(),
        mating=Tournament(),
        objectives=packing.objectives,
        size=16,
        pace=Steady(window=8),
        weights=shares(operators),
        bandit=Bandit(),
    )


experiment = Experiment(
    name="circle_packing",
    search=search,
    fitness=packing,
    births=200,
    policy=ONCE,
)
