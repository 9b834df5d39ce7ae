"""NSGA-III beside pymoo's (Blank, Deb & Roy 2019) over chains of selections, each with memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from operators.selection import NSGA3, das_dennis, fronts
from operators.selection.association import nearest_line
from operators.selection.dominance import UNRANKED
from operators.selection.normalisation import Memory, nadir, normalised, remembered
from tests.contracts.selection import seeded

nsga3 = pytest.importorskip(
    "pymoo.algorithms.moo.nsga3", reason="NO PYMOO: NSGA-III was not compared; pip install pymoo"
)
SINGULAR = 1e12  # condition of the extremes from which pymoo takes whatever its solver returns


@dataclass
class Tally:
    selections: int = 0
    other_nadirs: int = 0
    rows: int = 0
    other_niches: int = 0
    widest_tie: float = 0.0


def step(costs: np.ndarray, random: np.random.Generator, rounded: bool) -> np.ndarray:
    """Survivors with children beside them, a little better; some rounded, so that rows tie."""
    children = np.abs(costs * (1 + 0.1 * random.normal(size=costs.shape)) * 0.97)
    both = np.concatenate([costs, children])
    return np.round(both, 1) if rounded else both


@pytest.mark.parametrize(("m", "divisions"), [(2, 20), (3, 12), (5, 5)])
def test_memory_and_niches_equal_pymoo_s(m: int, divisions: int) -> None:
    points = das_dennis(m, divisions)
    tally = Tally()
    for seed in range(8):
        chain(NSGA3(points), seed, 20, tally)
    assert tally.selections == 160
    assert tally.other_nadirs <= 8  # each of them where the extremes are singular
    assert tally.other_niches <= 0.01 * tally.rows
    assert tally.widest_tie < 1e-12  # niches differ at exact ties only


def chain(selection: NSGA3, seed: int, length: int, tally: Tally) -> None:
    from pymoo.core.population import Population
    from pymoo.core.problem import Problem

    points = selection.points.numpy()
    k, m = points.shape
    random = np.random.default_rng(seed)
    peer = nsga3.ReferenceDirectionSurvival(points)
    problem = Problem(n_var=1, n_obj=m)
    scale = 10.0 ** random.integers(-1, 3, m)
    memory = Memory.blank(m)
    values = random.random((2 * k, m)) + 0.05
    for _ in range(length):
        table = values * scale
        nothing = np.zeros((2 * k, 0))
        people = Population.new("X", np.zeros((2 * k, 1)), "F", table, "G", nothing, "H", nothing)
        peer.do(problem, people, n_survive=k, random_state=np.random.default_rng(0))
        costs = torch.from_numpy(table)
        found = selection(costs, k, state=memory, generator=seeded(seed))
        rank = fronts(costs, enough=k)
        memory = remembered(memory, costs, costs[rank == 0])
        top = nadir(memory, costs, costs[rank == 0])
        assert isinstance(found.state, Memory)
        assert torch.equal(found.state.ideal, memory.ideal)
        assert np.array_equal(peer.norm.ideal_point, memory.ideal.numpy())
        assert np.array_equal(peer.norm.extreme_points, memory.extremes.numpy())
        tally.selections += 1
        if np.allclose(peer.norm.nadir_point, top.numpy(), rtol=1e-9):
            niches(selection, costs[rank != UNRANKED], memory, top.numpy(), tally)
        else:
            assert np.linalg.cond((memory.extremes - memory.ideal).numpy()) > SINGULAR
            tally.other_nadirs += 1
        values = step(values[found.indices.numpy()], random, rounded=seed % 3 == 2)


def niches(
    selection: NSGA3, costs: torch.Tensor, memory: Memory, top: np.ndarray, tally: Tally
) -> None:
    theirs, _, distance = nsga3.associate_to_niches(
        costs.numpy(), selection.points.numpy(), memory.ideal.numpy(), top
    )
    scaled = normalised(costs, memory.ideal, torch.from_numpy(top))
    ours = nearest_line(scaled, selection.directions, selection.finder)[0].numpy()
    other = np.flatnonzero(ours != theirs)
    tally.rows += len(ours)
    tally.other_niches += len(other)
    if len(other):
        gap = np.abs(distance[other, theirs[other]] - distance[other, ours[other]]).max()
        tally.widest_tie = max(tally.widest_tie, float(gap))
