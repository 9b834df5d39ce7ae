"""DTLZ2 with three objectives under NSGA-III: the smallest complete experiment.

evolve run experiments/dtlz.py --workers 0
"""

from evolve import Experiment, Genetic, Steady
from evolve.genomes.vector import Box, Vector
from evolve.streams import Stream, rng_for
from fitness.problems import Problem, dtlz2
from operators.selection import NSGA3, Tournament, das_dennis
from operators.vector import SBX, PolynomialMutation, Then

problem = Problem(dtlz2, n_objectives=3)
box = Box.of(0.0, 1.0, 7)


def search() -> Genetic[Vector]:
    """A population of 24 on the 21 directions of five divisions, eight births in flight."""
    return Genetic(
        founders=[Vector.random(box, rng_for(1, i, Stream.ASK)) for i in range(24)],
        operators=[Then(SBX(), PolynomialMutation())],
        selection=NSGA3(das_dennis(n_objectives=3, divisions=5)),
        mating=Tournament(),
        objectives=problem.objectives,
        size=24,
        pace=Steady(window=8),
    )


experiment = Experiment(name="dtlz2", search=search, fitness=problem, births=200)
