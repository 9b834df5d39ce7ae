"""How far a compressed model's predictions are from the dense model's, block by block."""

from fitness.divergence.divergence import Divergence

__all__ = ["Divergence"]
