from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from operators.selection import das_dennis, rvea
from operators.selection.rvea import RVEA, Adapted
from tests.contracts.selection import SelectionContract, seeded
from tests.operators.selection.cases import CASES, IN_TURNS
from tests.operators.selection.loop import evolved
from tests.oracles import decomposition


class TestContract(SelectionContract):
    def selection(self) -> RVEA:
        return RVEA(das_dennis(3, 4), generations=10)


class TestContractWithFewVectors(SelectionContract):
    n_objectives = 2

    def selection(self) -> RVEA:
        return RVEA(das_dennis(2, 1), generations=1)


@IN_TURNS
@CASES
@given(
    m=st.integers(2, 4),
    n=st.integers(1, 30),
    divisions=st.integers(1, 4),
    generation=st.integers(0, 12),
    constrained=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_survivors_equal_the_loop(
    turn: int, m: int, n: int, divisions: int, generation: int, constrained: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    costs = random.random((n, m))
    costs = costs[random.integers(0, n, n)]  # equal rows among them
    costs[random.random(n) < 0.1, 0] = random.choice([np.nan, np.inf, -np.inf])
    violation = np.zeros(n)
    if constrained:
        violation = random.choice([-1.0, 0.0, 1.0, 2.0, np.nan, np.inf], n)
    k = int(random.integers(1, n + 1))
    points = das_dennis(m, divisions)
    selection = RVEA(points, generations=10, alpha=1.5)
    span = torch.from_numpy(random.random(m) + 0.1)
    vectors = decomposition.stretched(points.numpy(), np.stack([np.zeros(m), span.numpy()]))
    turned = torch.from_numpy(vectors)
    state = Adapted(turned, rvea._gaps(turned), torch.tensor(generation))
    if generation == 0:
        vectors = (points / points.norm(dim=1, keepdim=True)).numpy()
    key = torch.randperm(n, generator=seeded(seed)).argsort().tolist()
    weight = min(1.0, generation / 10) ** 1.5
    expected = decomposition.rvea(costs, violation, k, vectors, weight, key)
    found = selection(
        torch.from_numpy(costs),
        k,
        violation=torch.from_numpy(violation) if constrained else None,
        state=state,
        generator=seeded(seed),
    )
    assert found.indices.tolist() == expected


def test_each_vector_keeps_one_then_the_fronts_fill() -> None:
    costs = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.1, 1.5], [1.5, 0.1], [0.4, 0.5], [2.0, 2.0]])
    selection = RVEA(das_dennis(2, 1), generations=10)
    for k, expected in [(2, {0, 1}), (3, {0, 1, 4}), (5, {0, 1, 2, 3, 4})]:
        found = selection(costs, k, generator=seeded()).indices.tolist()
        assert len(found) == k
        if k != 2:
            assert set(found) == expected


def test_reaches_the_front_of_dtlz2() -> None:
    points = das_dennis(3, 12)
    costs = evolved(RVEA(points, generations=250), 3, 92, generations=250, seed=0)
    assert np.abs(np.linalg.norm(costs, axis=1) - 1).max() < 0.05
    targets = (points / points.norm(dim=1, keepdim=True)).numpy()
    gap = np.linalg.norm(targets[:, None] - costs[None], axis=2).min(1)
    assert gap.mean() < 0.03
    assert gap.max() < 0.1


def test_vectors_follow_the_ranges_when_their_generation_comes() -> None:
    points = das_dennis(3, 4)
    selection = RVEA(points, generations=20)  # every second generation, the first one too
    scale = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    state: object | None = None
    seen = []
    for generation in range(5):
        noise = np.random.default_rng(generation).random((60, 3))
        costs = torch.from_numpy(noise) * scale * (generation + 1)
        selected = selection(costs, 15, state=state, generator=seeded())
        state = selected.state
        assert isinstance(state, Adapted)
        assert int(state.generation) == generation + 1
        expected = decomposition.stretched(points.numpy(), costs[selected.indices].numpy())
        if generation % 2 == 0:
            np.testing.assert_allclose(state.vectors, expected, rtol=1e-12)
            angles = torch.acos((state.vectors @ state.vectors.T).fill_diagonal_(-1.0).amax(1))
            np.testing.assert_allclose(state.gaps, angles, rtol=1e-6)
        seen.append(state.vectors)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])


def test_a_constant_objective_keeps_the_vectors_apart() -> None:
    costs = torch.from_numpy(np.random.default_rng(0).random((40, 3)))
    costs[:, 1] = 0.5
    state = RVEA(das_dennis(3, 4), generations=5)(costs, 20, generator=seeded()).state
    assert isinstance(state, Adapted)
    assert float(state.gaps.min()) > 0.05


def test_only_broken_rows_leave_the_vectors_alone() -> None:
    selection = RVEA(das_dennis(3, 4), generations=5)
    state = selection(torch.full((9, 3), torch.nan), 4, generator=seeded()).state
    assert isinstance(state, Adapted)
    assert torch.equal(state.vectors, selection.directions)
    assert int(state.generation) == 1


def test_the_penalty_grows_until_the_last_generation() -> None:
    costs = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.30, 0.45], [0.44, 0.44]])
    selection = RVEA(das_dennis(2, 2), generations=10)
    early = selection(costs, 3, generator=seeded())
    assert 2 in early.indices.tolist()  # shorter
    plain = Adapted(selection.directions, selection.gaps, torch.tensor(10))
    late = selection(costs, 3, state=plain, generator=seeded()).indices.tolist()
    assert 3 in late  # nearer to its vector
    after = Adapted(selection.directions, selection.gaps, torch.tensor(1000))
    assert selection(costs, 3, state=after, generator=seeded()).indices.tolist() == late


def test_blank_state_means_none() -> None:
    costs = torch.from_numpy(np.random.default_rng(0).random((60, 3)))
    selection = RVEA(das_dennis(3, 4), generations=5)
    one = selection(costs, 20, generator=seeded())
    blank = Adapted.blank(15, 3)
    two = selection(costs, 20, state=blank, generator=seeded())
    assert torch.equal(one.indices, two.indices)
    assert isinstance(one.state, Adapted)
    for name in ("vectors", "gaps", "generation"):
        assert getattr(one.state, name).shape == getattr(blank, name).shape
        assert getattr(one.state, name).dtype == getattr(blank, name).dtype


@pytest.mark.parametrize("exponent", [-990, 990])
def test_the_scale_changes_nothing(exponent: int) -> None:
    costs = torch.from_numpy(np.random.default_rng(0).random((60, 3))) - 0.5
    selection = RVEA(das_dennis(3, 4), generations=5)
    plain = selection(costs, 20, generator=seeded())
    scaled = selection(costs * 2.0**exponent, 20, generator=seeded())
    assert torch.equal(plain.indices, scaled.indices)
    assert isinstance(plain.state, Adapted)
    assert isinstance(scaled.state, Adapted)
    assert torch.equal(plain.state.vectors, scaled.state.vectors)


def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    points = das_dennis(3, 6)
    whole = RVEA(points, generations=5).gaps
    monkeypatch.setattr(rvea, "_TILE", 1)
    torch.testing.assert_close(RVEA(points, generations=5).gaps, whole, rtol=1e-9, atol=0.0)


def test_one_vector_and_equal_vectors() -> None:
    costs = torch.from_numpy(np.random.default_rng(0).random((20, 2)))
    for points in (torch.ones((1, 2)), torch.ones((4, 2))):
        selection = RVEA(points, generations=5)
        first = selection(costs, 9, generator=seeded())
        assert int(first.indices[0]) == int((costs - costs.amin(0)).norm(dim=1).argmin())
        found = selection(costs, 9, state=first.state, generator=seeded())
        assert len(set(found.indices.tolist())) == 9


def test_refusals() -> None:
    costs = torch.zeros((10, 3))
    selection = RVEA(das_dennis(3, 4), generations=5)
    with pytest.raises(ValueError, match=r"Truncation\(\)"):
        selection(costs[:, :1], 2, generator=seeded())
    with pytest.raises(ValueError, match="for 3 objectives"):
        selection(costs[:, :2], 2, generator=seeded())
    with pytest.raises(ValueError, match="state dict"):
        selection(costs, 2, state={}, generator=seeded())
    with pytest.raises(ValueError, match=r"vectors \(6, 3\)"):
        selection(costs, 2, state=Adapted.blank(6, 3), generator=seeded())
    blank = Adapted.blank(15, 3)
    for name in ("gaps", "generation"):
        broken = dataclasses.replace(blank, **{name: torch.zeros(4)})
        with pytest.raises(ValueError, match=rf"{name} \(4,\).*for \(15, 3\) points"):
            selection(costs, 2, state=broken, generator=seeded())


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"generations": 0}, "generations=0"),
        ({"generations": True}, "generations=True"),
        ({"alpha": -1.0}, "alpha=-1.0"),
        ({"alpha": float("nan")}, "alpha=nan"),
        ({"adaptation": 0.0}, "adaptation=0.0"),
        ({"adaptation": 1.5}, "adaptation=1.5"),
        ({"points": torch.zeros((4, 3))}, "zero row"),
        ({"points": torch.ones((4, 1))}, "Truncation"),
        ({"points": -torch.ones((4, 3))}, "negative"),
        ({"points": [[1.0, 0.0]]}, "list"),
    ],
)
def test_refuses_to_be_built(changed: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        RVEA(**{"points": das_dennis(3, 4), "generations": 5, **changed})  # type: ignore[arg-type]
