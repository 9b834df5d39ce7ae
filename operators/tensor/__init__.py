"""Tensor programs: evox algorithms over our selections. `import` costs evox's import."""

from operators.tensor.algorithms import MOEAD, NSGA2, NSGA3, RVEA, EvoxMating, HypE, Slots
from operators.tensor.evolution import Evolution
from operators.tensor.sharded import Sharded

__all__ = [
    "Evolution",
    "NSGA3",
    "NSGA2",
    "HypE",
    "MOEAD",
    "RVEA",
    "EvoxMating",
    "Slots",
    "Sharded",
]
