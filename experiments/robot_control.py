"""A cheetah learns to run: forward speed against effort, the whole trade-off at once.

    evolve run experiments/robot_control.py --workers 0

MuJoCo's HalfCheetah for ten seconds; a policy of 17 observations, 16 tanh neurons and 6 motors,
390 weights, evolved by NSGA-III from nothing. One island, so that the run is a ledger of stints of
five generations, which resumes. For the idea and the physics see fitness/episodes.py; the
benchmark sets MOEA/D and HypE beside it. Needs evolve[robots]. On a GPU with jax and brax let
`problem` return `BraxEpisodes("halfcheetah", reach=0.3)` and give the stint its device.
"""

from __future__ import annotations

from collections.abc import Callable

from evox.core import Algorithm
from torch import Tensor

from evolve import Experiment
from evolve.genomes.island import Island
from evolve.search.islands import Islands
from fitness.episodes import Episodes, effort, slowness
from fitness.stint import Stint
from operators.selection import NSGA2, das_dennis
from operators.tensor import MOEAD, NSGA3, HypE

POPULATION = 64
STINTS, GENERATIONS = 20, 5  # in all 100 generations, the first population among them
# Standing still, at half of the six motors' limits. The volume above it is three times the mean,
# over efforts from 0 to 3, of the best speed in m/s within that effort.
REFERENCE = 0.0, 3.0

robot = Episodes("HalfCheetah-v5", costs=(slowness, effort), hidden=(16,), steps=200, reach=0.3)


def problem() -> Episodes:
    """What a stint evaluates."""
    return robot


def points() -> Tensor:
    """(p, m) reference points of NSGA-III, weights of MOEA/D: evenly spread, one an individual."""
    return das_dennis(len(robot.costs), POPULATION - 1)


def nsga3() -> Algorithm:
    """NSGA-III; the normalisation is its own."""
    return NSGA3(POPULATION, len(robot.costs), *robot.box(), points=points())


def moead() -> Algorithm:
    """MOEA/D (PBI, theta 5); costs in their own units, m/s and squared actions."""
    return MOEAD(POPULATION, len(robot.costs), *robot.box(), points=points())


def hype() -> Algorithm:
    """HypE, exact for two objectives."""
    return HypE(POPULATION, len(robot.costs), *robot.box())


def run_of(
    algorithm: Callable[[], Algorithm], seed: int, stints: int = STINTS
) -> Experiment[Island]:
    """One population under `algorithm`: `stints` of `GENERATIONS` generations."""
    stint = Stint(algorithm, problem, GENERATIONS, REFERENCE)

    def search() -> Islands:
        robot.box()  # says before any work what is not installed
        return Islands(n_islands=1, selection=NSGA2(), migrants=0, objectives=stint.objectives)

    return Experiment("robot_control", search, stint, births=stints, seed=seed)


experiment = run_of(nsga3, seed=0)
