"""Other libraries' optimisers as searches: Optuna's samplers and evox's strategies.

Each takes a vector-like template and moves its genes; neither knows what the genes mean.
"""

from evolve.search.library.evox_strategies import EvoxSearch, UnitBox
from evolve.search.library.optuna_samplers import OptunaSearch, gene_names

__all__ = ["OptunaSearch", "EvoxSearch", "UnitBox", "gene_names"]
