"""What every child of an operator on profiles must be, over random budgets and parents."""

from __future__ import annotations

from hypothesis import strategies as st

from evolve.errors import Infertile
from evolve.genomes.compression.budget import Budget
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import ProfileSpace
from evolve.streams import Stream, rng_for
from evolve.variation import Operator
from operators.compression import random_profile
from tests.operators.compression.spaces import budgets, parent

seeds = st.integers(0, 2**32)
kinds = st.integers(0, len(budgets()) - 1)


def family(
    operator: Operator[CompressionProfile], budget: Budget, seed: int
) -> tuple[list[CompressionProfile], CompressionProfile | None]:
    """Random parents and their child, None if they are infertile; each keeps the budget."""
    rng = rng_for(seed, 0, Stream.ASK)
    parents = [random_profile(budget.space, budget, rng) for _ in range(operator.arity)]
    assert all(budget.keeps(each) for each in parents)
    try:
        child = operator.vary([parent(p, i) for i, p in enumerate(parents)], rng)
    except Infertile:
        return parents, None
    assert budget.keeps(child)
    assert isinstance(child.space, ProfileSpace)
    return parents, child
