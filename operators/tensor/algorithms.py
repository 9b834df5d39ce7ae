"""NSGA-III, NSGA-II, HypE, MOEA/D and RVEA for evox's workflows, with the arguments of evox's own.

Each is an `Evolution` with the paper's mating and survival. Knows no problem.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from evox.operators.crossover import simulated_binary_half
from evox.operators.selection import tournament_selection_multifit
from torch import Tensor

from operators.selection import hype, moead, nsga2, nsga3, rvea
from operators.selection.choose import reference_points
from operators.selection.decomposition import PBI
from operators.selection.dominance import fronts
from operators.selection.moead import Placed
from operators.selection.normalisation import Memory
from operators.tensor.evolution import Crossover, Evolution, Mutation, check_size, host

SelectionOp = Callable[[int, list[Tensor]], Tensor]  # evox's: how many, keys to minimise -> rows


@dataclass(frozen=True)
class EvoxMating:
    """A selection operator of evox as a `Mating`; `keys` of costs (n, m) are what it minimises."""

    op: SelectionOp
    keys: Callable[[Tensor], list[Tensor]]

    def __call__(
        self,
        costs: Tensor,
        samples: Sequence[np.ndarray] | None,
        n_parents: int,
        *,
        generator: torch.Generator,
    ) -> Tensor:
        """(n_parents,) int64 rows of `costs`; evox draws from torch's global stream."""
        return self.op(n_parents, self.keys(costs))


@dataclass(frozen=True)
class Slots:
    """MOEA/D as a `Selection`, of which one row may survive in several slots, with its mating.

    The population is its slots in order, and a generation makes one child for each.
    """

    moead: moead.MOEAD

    def __call__(
        self,
        costs: Tensor,
        k: int,
        *,
        violation: Tensor | None = None,
        state: object | None = None,
        generator: torch.Generator,
    ) -> Placed:
        """(k,) rows of `costs` (2 k, m), with repeats: what sits in each slot after its child."""
        own, new = costs[:k], costs[k:]
        slots = torch.arange(k, device=costs.device)
        at = (None, None) if violation is None else (violation[:k], violation[k:])
        return self.moead(
            own,
            new,
            slots,
            violation=at[0],
            offspring_violation=at[1],
            state=state,
            generator=generator,
        )

    def mate(
        self,
        costs: Tensor,
        samples: Sequence[np.ndarray] | None,
        n_parents: int,
        *,
        generator: torch.Generator,
    ) -> Tensor:
        """(n_parents,) int64: the first parent of each slot's child, then the second of each."""
        slots = torch.arange(n_parents // 2, device=costs.device)
        return self.moead.parents(slots, generator=generator).T.reshape(-1)


def NSGA3(
    pop_size: int,
    n_objs: int,
    lb: Tensor,
    ub: Tensor,
    selection_op: SelectionOp | None = None,
    mutation_op: Mutation | None = None,
    crossover_op: Crossover | None = None,
    data_type: torch.dtype | None = None,
    device: torch.device | None = None,
    points: Tensor | None = None,
) -> Evolution:
    """NSGA-III (Deb & Jain 2014), for `evox.algorithms.NSGA3`; arguments as for `Evolution`.

    selection_op: gets the fronts, as in evox; default every parent once, in random order.
    points: (r, n_objs) reference points, default `reference_points(pop_size, n_objs)`.
    """
    check_size(pop_size, n_objs)
    with host():
        selection = nsga3.NSGA3(reference_points(pop_size, n_objs) if points is None else points)
        blank = Memory.blank(n_objs)
    mating = None if selection_op is None else EvoxMating(selection_op, _by_front)
    return Evolution(
        pop_size,
        n_objs,
        lb,
        ub,
        selection,
        blank,
        mating,
        None,
        mutation_op,
        crossover_op,
        data_type,
        device,
    )


def NSGA2(
    pop_size: int,
    n_objs: int,
    lb: Tensor,
    ub: Tensor,
    selection_op: SelectionOp | None = None,
    mutation_op: Mutation | None = None,
    crossover_op: Crossover | None = None,
    device: torch.device | None = None,
) -> Evolution:
    """NSGA-II (Deb et al. 2002), for `evox.algorithms.NSGA2`; arguments as for `Evolution`.

    selection_op: gets minus the crowding distances and the fronts, as in evox; default the
    paper's tournament of two, by front and then by crowding distance.
    """
    op = tournament_selection_multifit if selection_op is None else selection_op
    return Evolution(
        pop_size,
        n_objs,
        lb,
        ub,
        nsga2.NSGA2(),
        None,
        EvoxMating(op, _by_crowding),
        None,
        mutation_op,
        crossover_op,
        None,
        device,
    )


def HypE(
    pop_size: int,
    n_objs: int,
    lb: Tensor,
    ub: Tensor,
    n_sample: int = 10_000,
    selection_op: SelectionOp | None = None,
    mutation_op: Mutation | None = None,
    crossover_op: Crossover | None = None,
    device: torch.device | None = None,
) -> Evolution:
    """HypE (Bader & Zitzler 2011), for `evox.algorithms.HypE`; arguments as for `Evolution`.

    n_sample: the most samples of a stage where the volume is not computed exactly. selection_op:
    gets the fronts (evox has none in effect); default every parent once, in random order.
    """
    mating = None if selection_op is None else EvoxMating(selection_op, _by_front)
    return Evolution(
        pop_size,
        n_objs,
        lb,
        ub,
        hype.HypE(n_samples=n_sample),
        None,
        mating,
        None,
        mutation_op,
        crossover_op,
        None,
        device,
    )


def MOEAD(
    pop_size: int,
    n_objs: int,
    lb: Tensor,
    ub: Tensor,
    selection_op: None = None,
    mutation_op: Mutation | None = None,
    crossover_op: Crossover | None = None,
    device: torch.device | None = None,
    points: Tensor | None = None,
    neighbours: int = 20,
) -> Evolution:
    """MOEA/D (Zhang & Li 2007), for `evox.algorithms.MOEAD`; arguments as for `Evolution`.

    As in evox: PBI with theta 5, a child of two parents (`crossover_op` gets 2 p rows and makes
    p), SBX with eta 20, and a population of a row a weight, which may be fewer than pop_size.
    points: (p, n_objs) weights, default `reference_points(pop_size, n_objs)`. neighbours: with
    how many weights each mates and competes. selection_op: None; parents are neighbours.
    """
    check_size(pop_size, n_objs)
    if selection_op is not None:
        raise ValueError("MOEAD got a selection_op, expected None: it mates neighbours.")
    there = torch.get_default_device() if device is None else device
    with host():
        points = reference_points(pop_size, n_objs) if points is None else points
        if isinstance(points, Tensor):  # else refused below
            points = points.to(there)  # its weights are looked up there in every generation
        slots = Slots(moead.MOEAD(points, neighbours, decomposition=PBI()))
        blank = moead.Seen.blank(n_objs)
    crossover = simulated_binary_half if crossover_op is None else crossover_op
    p = len(points)
    return Evolution(
        p, n_objs, lb, ub, slots, blank, slots.mate, 2 * p, mutation_op, crossover, None, device
    )


def RVEA(
    pop_size: int,
    n_objs: int,
    lb: Tensor,
    ub: Tensor,
    alpha: float = 2.0,
    fr: float = 0.1,
    max_gen: int = 100,
    selection_op: None = None,
    mutation_op: Mutation | None = None,
    crossover_op: Crossover | None = None,
    device: torch.device | None = None,
    points: Tensor | None = None,
) -> Evolution:
    """RVEA (Cheng et al. 2016), for `evox.algorithms.RVEA`; arguments as for `Evolution`.

    max_gen: `generations` of the survival, which are steps; `init_step` is none. Step t of 1, 2,
    ... penalises angles by ((t - 1) / max_gen)^alpha as the paper does (evox: (t / max_gen)^alpha)
    and from step max_gen + 1 on by 1. fr: `adaptation`, after which share of max_gen the vectors
    are adapted (evox: after 1 / fr steps, which is the same for max_gen = 100, fr = 0.1).
    selection_op: None; evox's is a survival, for which use `Evolution`. points: (r, n_objs)
    vectors, default `reference_points(pop_size, n_objs)`; survivors are pop_size all the same.
    """
    check_size(pop_size, n_objs)
    if selection_op is not None:
        raise ValueError(
            "RVEA got a selection_op, expected None: it would replace the survival; give "
            "Evolution a selection of your own."
        )
    with host():
        points = reference_points(pop_size, n_objs) if points is None else points
        selection = rvea.RVEA(points, max_gen, alpha, fr)
        blank = rvea.Adapted.blank(len(points), n_objs)
    return Evolution(
        pop_size,
        n_objs,
        lb,
        ub,
        selection,
        blank,
        None,
        None,
        mutation_op,
        crossover_op,
        None,
        device,
    )


def _by_front(costs: Tensor) -> list[Tensor]:
    return [fronts(costs)]


def _by_crowding(costs: Tensor) -> list[Tensor]:
    front = fronts(costs)
    return [-nsga2.crowding(costs, front), front.to(torch.float64)]
