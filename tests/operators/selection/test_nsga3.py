from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.selection import NSGA3, Selected, das_dennis, two_layer
from operators.selection.association import nearest_line
from operators.selection.niching import random_keys
from operators.selection.normalisation import Memory, nadir, normalised, remembered
from tests.contracts.selection import SelectionContract, seeded
from tests.operators.selection.loop import evolved
from tests.oracles import dominance, niching


class TestContract(SelectionContract):
    def selection(self) -> NSGA3:
        return NSGA3(das_dennis(3, 4))


class TestContractOnALattice(SelectionContract):
    def selection(self) -> NSGA3:
        return NSGA3(das_dennis(3, 20))


SETS = {
    2: [das_dennis(2, 3), das_dennis(2, 99)],
    3: [das_dennis(3, 3), das_dennis(3, 17)],
    4: [das_dennis(4, 3)],
    5: [das_dennis(5, 3), two_layer(5, 2, 1)],
}


@settings(max_examples=1000, deadline=None)
@given(
    m=st.integers(2, 5),
    n=st.integers(2, 30),
    steps=st.sampled_from([2, 5, 1000]),
    broken=st.sampled_from([0.0, 0.1, 0.5]),
    infeasible=st.sampled_from([0.0, 0.2, 0.7]),
    seed=st.integers(0, 2**31),
)
def test_survivors_equal_the_sequential_loop(
    m: int, n: int, steps: int, broken: float, infeasible: float, seed: int
) -> None:
    """Two calls in a chain: the second with the memory of the first."""
    random = np.random.default_rng(seed)
    points = SETS[m][int(random.integers(len(SETS[m])))]
    selection, memory = NSGA3(points), Memory.blank(m)
    for _ in range(2):
        costs = random.integers(0, steps, (n, m)) / steps
        costs[random.random(n) < broken] = random.choice([np.nan, np.inf, -np.inf])
        violation = np.where(random.random(n) < infeasible, random.integers(-1, 3, n), 0.0)
        k = int(random.integers(1, n + 1))
        found = selection(
            torch.from_numpy(costs),
            k,
            violation=torch.from_numpy(violation),
            state=memory,
            generator=seeded(seed),
        )
        memory = expect_the_loop(points, costs, violation, k, memory, found, seed)


def expect_the_loop(
    points: torch.Tensor,
    costs: np.ndarray,
    violation: np.ndarray,
    k: int,
    memory: Memory,
    found: Selected,
    seed: int,
) -> Memory:
    """`found` is what the paper's loop chooses with the same keys; the memory after it."""
    rank = dominance.fronts(costs, violation, enough=k)
    feasible = np.isfinite(costs).all(1) & (violation <= 0)
    last = rank[rank != dominance.UNRANKED].max()
    sure, cut = np.flatnonzero(rank < last), np.flatnonzero(rank == last)
    assert sorted(sure) == sorted(found.indices[: len(sure)].tolist())
    chosen = found.indices[len(sure) :].tolist()
    seen = torch.from_numpy(costs[feasible])
    first = torch.from_numpy(costs[feasible & (rank == 0)])
    if len(seen):
        memory = remembered(memory, seen, first)
    assert isinstance(found.state, Memory)
    assert torch.equal(found.state.extremes, memory.extremes)
    wanted = k - len(sure)
    if wanted == len(cut):
        assert chosen == cut.tolist()
        return memory
    keys = random_keys(len(cut), seeded(seed), torch.device("cpu"))
    if not feasible[cut[0]]:
        assert set(chosen) <= set(cut.tolist())
        assert len(set(chosen)) == wanted
        return memory
    within, between = (key.tolist() for key in keys)
    top = nadir(memory, seen, first)
    scaled = normalised(torch.from_numpy(costs), memory.ideal, top)
    crowd = [0] * len(points)
    for i in sure:
        crowd[niching.nearest_line(scaled[i].numpy(), points.numpy())] += 1
    niche = [niching.nearest_line(scaled[i].numpy(), points.numpy()) for i in cut]
    lines = points / points.norm(dim=1, keepdim=True)
    distance = nearest_line(scaled[cut], lines)[1].tolist()
    expected = niching.niched(niche, distance, crowd, wanted, within, between)
    assert chosen == cut[expected].tolist()
    return memory


@pytest.mark.parametrize(("m", "divisions", "n"), [(2, 30, 31), (3, 12, 92)])
def test_reaches_the_front_of_dtlz2(m: int, divisions: int, n: int) -> None:
    points = das_dennis(m, divisions)
    costs = evolved(NSGA3(points), m, n, generations=250, seed=0)
    assert np.abs(np.linalg.norm(costs, axis=1) - 1).max() < 0.02
    targets = (points / points.norm(dim=1, keepdim=True)).numpy()
    gap = np.linalg.norm(targets[:, None] - costs[None], axis=2).min(1)
    assert gap.mean() < 0.03  # every reference line has its survivor
    assert gap.max() < 0.1


def test_memory_changes_the_normalisation() -> None:
    selection = NSGA3(das_dennis(2, 5))
    early = torch.tensor([[0.0, 10.0], [10.0, 0.0], [5.0, 5.0]], dtype=torch.float64)
    state = selection(early, 2, generator=seeded()).state
    assert isinstance(state, Memory)
    assert state.worst.tolist() == [10.0, 10.0]
    late = torch.tensor([[4.0, 6.0], [6.0, 4.0]], dtype=torch.float64)
    state = selection(late, 1, state=state, generator=seeded()).state
    assert isinstance(state, Memory)
    assert state.ideal.tolist() == [0.0, 0.0]


def test_broken_and_infeasible_rows_leave_no_trace_in_the_memory() -> None:
    costs = torch.tensor([[1.0, 2.0], [2.0, 1.0], [-9.0, -9.0], [torch.nan, -5.0]])
    violation = torch.tensor([0.0, 0.0, 1.0, 0.0])
    state = NSGA3(das_dennis(2, 5))(costs, 3, violation=violation, generator=seeded()).state
    assert isinstance(state, Memory)
    assert state.ideal.tolist() == [1.0, 1.0]
    hopeless = torch.full((4, 2), torch.nan)
    kept = NSGA3(das_dennis(2, 5))(hopeless, 3, state=state, generator=seeded()).state
    assert kept is state
    unseen = NSGA3(das_dennis(2, 5))(hopeless, 3, generator=seeded()).state
    assert isinstance(unseen, Memory)
    assert unseen.ideal.tolist() == [torch.inf, torch.inf]


def test_points_need_no_unit_sum() -> None:
    costs = torch.from_numpy(np.random.default_rng(0).random((60, 3)))
    one = NSGA3(das_dennis(3, 6))(costs, 20, generator=seeded()).indices
    other = NSGA3(das_dennis(3, 6) * 7)(costs, 20, generator=seeded()).indices
    assert torch.equal(one, other)


@pytest.mark.parametrize("scale", [1e300, 1e-300, 2.0**-1000])
def test_points_may_be_of_any_scale(scale: float) -> None:
    costs = torch.from_numpy(np.random.default_rng(0).random((60, 4)))
    one = NSGA3(das_dennis(4, 5))(costs, 20, generator=seeded()).indices
    other = NSGA3(das_dennis(4, 5) * scale)(costs, 20, generator=seeded()).indices
    assert torch.equal(one, other)


def test_another_default_device() -> None:
    costs = torch.from_numpy(np.random.default_rng(0).random((60, 5)))
    expected = NSGA3(das_dennis(5, 4))(costs, 20, generator=seeded()).indices
    points, keys = das_dennis(5, 4), seeded()
    with torch.device("meta"):
        found = NSGA3(points)(costs, 20, generator=keys).indices
    assert torch.equal(found, expected)


def test_costs_may_carry_a_gradient() -> None:
    costs = torch.from_numpy(np.random.default_rng(0).random((60, 3))).requires_grad_()
    found = NSGA3(das_dennis(3, 5))(costs, 20, generator=seeded())
    assert isinstance(found.state, Memory)
    assert not found.state.ideal.requires_grad


def test_two_layers() -> None:
    costs = torch.from_numpy(np.random.default_rng(0).random((300, 8)))
    selected = NSGA3(two_layer(8, 3, 2))(costs, 156, generator=seeded())
    assert len(set(selected.indices.tolist())) == 156


def test_refusals() -> None:
    costs = torch.zeros((10, 3))
    with pytest.raises(ValueError, match=r"Truncation\(\)"):
        NSGA3(das_dennis(3, 4))(costs[:, :1], 2, generator=seeded())
    with pytest.raises(ValueError, match="for 4 objectives"):
        NSGA3(das_dennis(4, 4))(costs, 2, generator=seeded())
    with pytest.raises(ValueError, match="state dict"):
        NSGA3(das_dennis(3, 4))(costs, 2, state={}, generator=seeded())
    blank = Memory.blank(3)
    short = Memory(blank.ideal, blank.worst[:1], blank.extremes)
    with pytest.raises(ValueError, match="a memory of 3 objectives"):
        NSGA3(das_dennis(3, 4))(costs, 2, state=short, generator=seeded())
    other = NSGA3(das_dennis(2, 4))(costs[:, :2], 2, generator=seeded()).state
    with pytest.raises(ValueError, match="memory of 2 objectives"):
        NSGA3(das_dennis(3, 4))(costs, 2, state=other, generator=seeded())


@pytest.mark.parametrize(
    ("points", "says"),
    [
        (torch.zeros((0, 3)), r"\(0, 3\)"),
        (torch.ones((4, 1)), "Truncation"),
        (torch.ones(4), r"\(4,\)"),
        (torch.ones((4, 3), dtype=torch.int64), "float"),
        (torch.zeros((4, 3)), "zero row"),
        (torch.full((4, 3), torch.nan), "NaN"),
        (-torch.ones((4, 3)), "negative"),
        ([[1.0, 0.0]], "list"),
    ],
)
def test_refuses_points(points: torch.Tensor, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        NSGA3(points)
