"""Who survives and who mates: functions on cost tensors. Imports nothing of ours outside itself.

Costs are (n, m) and minimised, on any device; random keys come from a CPU generator.
"""

from operators.selection.attraction import Attraction
from operators.selection.choose import reference_points
from operators.selection.decomposition import PBI, tchebycheff
from operators.selection.dominance import fronts
from operators.selection.hype import HypE
from operators.selection.indicators import gd, hypervolume, igd, igd_plus
from operators.selection.inspiration import Inspired
from operators.selection.moead import MOEAD
from operators.selection.novelty import Novelty, novelty
from operators.selection.nsga2 import NSGA2
from operators.selection.nsga3 import NSGA3
from operators.selection.reference import das_dennis, divisions_for, two_layer
from operators.selection.riesz import riesz
from operators.selection.rvea import RVEA
from operators.selection.selected import Selected
from operators.selection.sharded import Contenders, contenders, sharded_fronts
from operators.selection.tournament import Balanced, Tournament
from operators.selection.truncation import Truncation

__all__ = [
    "fronts",
    "sharded_fronts",
    "contenders",
    "Contenders",
    "das_dennis",
    "two_layer",
    "riesz",
    "divisions_for",
    "reference_points",
    "NSGA2",
    "NSGA3",
    "MOEAD",
    "PBI",
    "tchebycheff",
    "HypE",
    "RVEA",
    "Truncation",
    "Novelty",
    "novelty",
    "Tournament",
    "Balanced",
    "Attraction",
    "hypervolume",
    "igd",
    "igd_plus",
    "gd",
    "Selected",
    "Inspired",
]
