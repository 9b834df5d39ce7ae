"""DTLZ3 on four islands in a ring: whole populations evolve in workers and exchange individuals.

evolve run experiments/islands.py --workers 2

A birth is a stint of 50 generations of 92 individuals under NSGA-III. `population` then gives the
individuals of all islands: `population(evolve.load("runs/islands").records)`.
"""

import torch
from evox.problems.numerical import DTLZ3
from torch import Tensor

from evolve import Experiment
from evolve.search.islands import Islands, Ring
from fitness.stint import Stint
from operators import tensor
from operators.selection import NSGA3, das_dennis

N_OBJECTIVES = 3
N_GENES = N_OBJECTIVES + 9


def points() -> Tensor:
    """(91, 3) reference points, of the islands' survival and of the choice among migrants."""
    return das_dennis(N_OBJECTIVES, divisions=12)


def algorithm() -> tensor.Evolution:
    """NSGA-III on 91 directions; evolves on torch's default device."""
    low = torch.zeros(N_GENES, dtype=torch.float64)
    return tensor.NSGA3(92, N_OBJECTIVES, low, low + 1, points=points())


def problem() -> DTLZ3:
    """evox's DTLZ3, in the dtype of the population."""
    return DTLZ3(N_GENES, N_OBJECTIVES)


stint = Stint(algorithm, problem, generations=50, reference=(1.1,) * N_OBJECTIVES)


def search() -> Islands:
    """Eight individuals of an island go to the next before each stint."""
    return Islands(
        n_islands=4,
        selection=NSGA3(points()),
        migrants=8,
        objectives=stint.objectives,
        topology=Ring(),
    )


experiment = Experiment(name="islands", search=search, fitness=stint, births=64)
