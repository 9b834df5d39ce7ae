"""Operators on compression profiles. Those that are given a budget keep it in every child."""

from operators.compression.crossing import ProfileCrossover
from operators.compression.founding import Anew, random_profile
from operators.compression.levels import BudgetSwitch, LevelSwitch
from operators.compression.parts import Joint, PartStep, PartSwitch
from operators.compression.steps import LevelMix, LevelStep

__all__ = [
    "Anew",
    "BudgetSwitch",
    "Joint",
    "LevelMix",
    "LevelStep",
    "LevelSwitch",
    "PartStep",
    "PartSwitch",
    "ProfileCrossover",
    "random_profile",
]
