"""Operators on compression profiles. Every child keeps the budget that the operator was given."""

from operators.compression.crossing import ProfileCrossover
from operators.compression.founding import Anew, random_profile
from operators.compression.levels import BudgetSwitch, LevelSwitch
from operators.compression.parts import Joint, PartSwitch

__all__ = [
    "Anew",
    "BudgetSwitch",
    "Joint",
    "LevelSwitch",
    "PartSwitch",
    "ProfileCrossover",
    "random_profile",
]
