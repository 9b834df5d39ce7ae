"""Who survives and who mates: functions on cost tensors. Imports nothing of ours outside itself.

Costs are (n, m) and minimised, on any device; random keys come from a CPU generator.
"""

from operators.selection.dominance import fronts
from operators.selection.nsga2 import NSGA2
from operators.selection.nsga3 import NSGA3
from operators.selection.reference import das_dennis, divisions_for, two_layer
from operators.selection.selected import Selected
from operators.selection.tournament import Balanced, Tournament
from operators.selection.truncation import Truncation

__all__ = [
    "fronts",
    "das_dennis",
    "two_layer",
    "divisions_for",
    "NSGA2",
    "NSGA3",
    "Truncation",
    "Tournament",
    "Balanced",
    "Selected",
]
