"""How long a build will take, roughly: operations over what this machine does in a second.

The walk is matrix products. The solvers go column by column, which moves memory: `TOUCH`, their
seconds a weight and level, was read off stories15M's and SmolLM2's shapes on one busy core.
Knows no weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolve.genomes.compression.anatomy import FUSED
from evolve.genomes.compression.speed import products_a_second
from evolve.levels.settings import Method

if TYPE_CHECKING:
    from evolve.levels.build import Plan

TOUCH = {Method.GPTQ: 2e-7, Method.RTN: 1e-7, Method.SPARSEGPT: 2.5e-7, Method.MAGNITUDE: 1e-7}


def seconds(plan: Plan, workers: int) -> float:
    """Seconds of `plan` with so many workers; the walk is one process's."""
    rate = products_a_second()
    walk, solving = operations(plan)
    linears = plan.anatomy.by_name
    weights = sum(linears[name].size * len(levels) for name, levels in plan.levels.items())
    solving = solving / rate + weights * TOUCH[plan.settings.method]
    return walk / rate / plan.settings.threads + solving / max(workers, 1)


def operations(plan: Plan) -> tuple[float, float]:
    """Floating-point operations of the walk with its sums, and of the factors and levels."""
    walk = solving = 0.0
    for linear in plan.anatomy.linears:
        first = all(linear.own not in tie[1:] for tie in FUSED)
        walk += 2.0 * plan.tokens.size * (linear.size + first * linear.columns**2)
        solving += 2.0 * linear.columns**3
        solving += 2.0 * linear.size * linear.columns * len(plan.levels[linear.name])
    return walk, solving
