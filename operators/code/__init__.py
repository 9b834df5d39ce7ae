"""Mutations and crossovers of programs: built in, with no language model and no network.

Deterministic, some tens of milliseconds each. Importing this costs libcst's import.
"""

from collections.abc import Sequence
from types import MappingProxyType

from operators.code.augmentations import augmentations
from operators.code.blocks import blocks, deletions, layers
from operators.code.crossing import LayerCrossover, RegionCrossover
from operators.code.fresh import Fresh
from operators.code.inheriting import Inheriting
from operators.code.kernels import kernels
from operators.code.literals import literals
from operators.code.mutator import Mutator
from operators.code.optimisers import optimisers
from operators.code.schedules import schedules
from operators.code.swaps import activations, normalisations, poolings
from operators.code.widths import narrowing, widening

__all__ = [
    "mutators",
    "crossovers",
    "weights",
    "Mutator",
    "RegionCrossover",
    "LayerCrossover",
    "Fresh",
    "Inheriting",
    "widening",
    "narrowing",
    "layers",
    "blocks",
    "deletions",
    "kernels",
    "activations",
    "normalisations",
    "poolings",
    "literals",
    "optimisers",
    "schedules",
    "augmentations",
]

WEIGHTS = MappingProxyType(
    {
        "widen": 2.0,
        "narrow": 2.0,
        "insert": 1.5,
        "block": 1.0,
        "delete": 1.5,
        "kernel": 2.0,
        "activation": 1.0,
        "normalisation": 0.5,
        "pooling": 0.5,
        "literal": 1.0,
        "optimiser": 2.0,
        "schedule": 1.5,
        "augmentation": 1.0,
        "regions": 2.0,
        "layers": 1.0,
    }
)


def mutators() -> list[Mutator]:
    """Every mutation, of one parent each."""
    return [
        widening(),
        narrowing(),
        layers(),
        blocks(),
        deletions(),
        kernels(),
        activations(),
        normalisations(),
        poolings(),
        literals(),
        optimisers(),
        schedules(),
        augmentations(),
    ]


def crossovers() -> list[RegionCrossover | LayerCrossover]:
    """Every crossover, of two parents each."""
    return [RegionCrossover(), LayerCrossover()]


def weights(operators: Sequence[Mutator | RegionCrossover | LayerCrossover]) -> list[float]:
    """The shares of births that these would be given to begin with; 1 is usual."""
    return [WEIGHTS.get(operator.name, 1.0) for operator in operators]
