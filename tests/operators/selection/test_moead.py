from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from operators.selection import das_dennis, moead
from operators.selection.decomposition import PBI, Decomposition, tchebycheff
from operators.selection.moead import MOEAD, Placed, Seen
from tests.contracts.selection import seeded
from tests.operators.selection.cases import CASES, IN_TURNS
from tests.operators.selection.loop import dtlz2
from tests.oracles import decomposition

POINTS = das_dennis(3, 5)  # 21 slots
SLOTS = torch.arange(21)


def rows(n: int = 21, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((n, 3)))


def place(costs: Tensor, offspring: Tensor, slots: Tensor = SLOTS, **more: Tensor) -> Placed:
    algorithm = MOEAD(POINTS, neighbours=6)
    return algorithm(
        costs,
        offspring,
        slots,
        violation=more.get("violation"),
        offspring_violation=more.get("offspring_violation"),
        generator=seeded(),
    )


@IN_TURNS
@CASES
@given(
    m=st.integers(2, 4),
    divisions=st.integers(1, 4),
    q=st.integers(0, 25),
    width=st.integers(1, 12),
    steps=st.sampled_from([2, 8, 4096]),
    decompose=st.sampled_from([tchebycheff, PBI()]),
    constrained=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_equals_the_loop_over_offspring(
    turn: int,
    m: int,
    divisions: int,
    q: int,
    width: int,
    steps: int,
    decompose: Decomposition,
    constrained: bool,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    points = das_dennis(m, divisions)
    p = len(points)
    costs = random.integers(0, steps, (p + q, m)) / steps
    costs[random.random(p + q) < 0.1, 0] = random.choice([np.nan, np.inf, -np.inf])
    violation = np.zeros(p + q)
    if constrained:
        violation = random.choice([-1.0, 0.0, 1.0, 2.0, np.nan, np.inf], p + q)
    slots = random.integers(0, p, q)
    algorithm = MOEAD(points, neighbours=width, decomposition=decompose)

    def scalar(away: list[float], weights: list[float]) -> float:  # ties must be the same ties
        above, weight = np.array(away) / 2, np.array(weights)
        return float(decompose(torch.from_numpy(above), torch.from_numpy(weight)))

    near = decomposition.neighbourhoods(points.numpy(), width)
    weights = algorithm.weights.numpy()
    expected = decomposition.placed(costs, violation, p, slots.tolist(), weights, near, scalar)
    given_violation = torch.from_numpy(violation) if constrained else None
    found = algorithm(
        torch.from_numpy(costs[:p]),
        torch.from_numpy(costs[p:]),
        torch.from_numpy(slots),
        violation=None if given_violation is None else given_violation[:p],
        offspring_violation=None if given_violation is None else given_violation[p:],
        generator=seeded(),
    )
    assert found.indices.tolist() == expected


def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = place(rows(), rows(21, 1)).indices
    monkeypatch.setattr(moead, "_TILE", 1)
    assert torch.equal(place(rows(), rows(21, 1)).indices, whole)


def test_one_offspring_may_take_its_whole_neighbourhood_and_no_more() -> None:
    algorithm = MOEAD(POINTS, neighbours=6)
    found = algorithm(rows() + 1, rows(1), SLOTS[:1], generator=seeded()).indices
    taken = (found == 21).nonzero()[:, 0].tolist()
    assert taken == sorted(algorithm.near[0].tolist())
    stayed = [i for i in range(21) if i not in taken]
    assert found[stayed].tolist() == stayed


def test_equal_offspring_go_to_the_lowest_row_and_equals_stay() -> None:
    costs = rows() + 1
    better = costs.clone() - 0.5
    twice = place(costs, torch.cat([better, better]), torch.cat([SLOTS, SLOTS])).indices
    assert torch.equal(twice, place(costs, better).indices)
    assert int(twice.max()) < 42
    assert torch.equal(place(costs[:1].expand(21, 3), costs[:1].expand(21, 3)).indices, SLOTS)


def test_feasible_beats_infeasible_beats_broken() -> None:
    worse, better = rows() + 1, rows()
    bad = torch.full((21,), 2.0, dtype=torch.float64)
    fine = torch.zeros(21, dtype=torch.float64)
    held = place(worse, better, violation=fine, offspring_violation=bad).indices
    assert torch.equal(held, SLOTS)
    assert int(place(better, worse, violation=bad).indices.min()) >= 21
    less = place(better, worse, violation=bad, offspring_violation=bad - 1).indices
    assert int(less.min()) >= 21
    assert torch.equal(place(worse, better, violation=bad, offspring_violation=bad).indices, SLOTS)
    for value in (torch.nan, torch.inf, -torch.inf):
        broken = torch.full((21, 3), value, dtype=torch.float64)
        assert torch.equal(place(worse, broken).indices, SLOTS)
        assert torch.equal(place(broken, broken).indices, SLOTS)
        assert int(place(broken, worse).indices.min()) >= 21
        assert int(place(broken, worse, offspring_violation=bad).indices.min()) >= 21


def test_negative_violation_is_feasible() -> None:
    slack = -torch.arange(21, dtype=torch.float64)
    plain = place(rows(), rows(21, 1)).indices
    assert torch.equal(
        place(rows(), rows(21, 1), violation=slack, offspring_violation=slack).indices, plain
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("q", [0, 1, 21, 50])
def test_fills_exactly_the_slots(q: int, dtype: torch.dtype) -> None:
    slots = torch.randint(21, (q,), generator=seeded())
    indices = place(rows().to(dtype), rows(q, 1).to(dtype), slots).indices
    assert indices.shape == (21,)
    assert indices.dtype == torch.int64
    moved = indices >= 21
    assert torch.equal(indices[~moved], SLOTS[~moved])
    assert int(indices.max()) < 21 + q


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 0.0, 1e300, 1e-300])
def test_equal_rows_stay(value: float) -> None:
    costs = torch.full((21, 3), value, dtype=torch.float64)
    assert torch.equal(place(costs, costs).indices, SLOTS)


@pytest.mark.parametrize("decompose", [tchebycheff, PBI()])
@pytest.mark.parametrize("exponent", [-990, -30, 990])
def test_the_scale_changes_nothing(exponent: int, decompose: Decomposition) -> None:
    algorithm = MOEAD(POINTS, decomposition=decompose)
    costs, offspring = rows() - 0.5, rows(21, 1) - 0.5
    plain = algorithm(costs, offspring, SLOTS, generator=seeded()).indices
    scale = 2.0**exponent
    scaled = algorithm(costs * scale, offspring * scale, SLOTS, generator=seeded()).indices
    assert torch.equal(scaled, plain)


def test_the_largest_range_does_not_overflow() -> None:
    costs, offspring = 3.4 * rows() - 1.7, 3.4 * rows(21, 1) - 1.7  # to 1.5e308
    plain = place(costs, offspring).indices
    assert torch.equal(place(costs * 2.0**1023, offspring * 2.0**1023).indices, plain)


def test_constant_objectives() -> None:
    costs, offspring = rows(), rows(21, 1)
    costs[:, 1] = offspring[:, 1] = 0.25
    assert place(costs, offspring).indices.shape == (21,)


def test_the_ideal_follows_the_feasible_rows_only() -> None:
    costs, offspring = rows() + 1, rows(21, 1) + 1
    offspring[0] = torch.tensor([-9.0, torch.nan, 0.0])
    offspring[1] = -5.0
    violation = torch.zeros(21, dtype=torch.float64)
    violation[1] = 1.0
    state = place(costs, offspring, offspring_violation=violation).state
    assert torch.equal(state.ideal, torch.cat([costs, offspring[2:]]).amin(0))
    algorithm = MOEAD(POINTS)
    low = Seen(torch.full((3,), -7.0, dtype=torch.float64))
    after = algorithm(costs, offspring, SLOTS, state=low, generator=seeded()).state
    assert after.ideal.tolist() == [-7.0, -7.0, -7.0]
    hopeless = torch.full((21, 3), torch.nan, dtype=torch.float64)
    assert place(hopeless, hopeless).state.ideal.tolist() == [torch.inf] * 3


def test_blank_state_means_none_and_states_pickle() -> None:
    costs, offspring = rows(), rows(21, 1)
    algorithm = pickle.loads(pickle.dumps(MOEAD(POINTS, decomposition=PBI(2.0))))
    one = algorithm(costs, offspring, SLOTS, generator=seeded())
    two = algorithm(costs, offspring, SLOTS, state=Seen.blank(3), generator=seeded())
    assert torch.equal(one.indices, two.indices)
    kept = pickle.loads(pickle.dumps(one.state))
    later = [
        algorithm(costs, rows(21, 2), SLOTS, state=s, generator=seeded()).indices
        for s in (one.state, kept)
    ]
    assert torch.equal(*later)


def test_changes_no_argument_and_no_global_generator() -> None:
    costs, offspring, slots = rows(), rows(21, 1), SLOTS.clone()
    violation = torch.linspace(-1, 1, 21, dtype=torch.float64)
    given = [costs, offspring, slots, violation]
    kept = [each.clone() for each in given]
    before = torch.get_rng_state()
    place(costs, offspring, slots, violation=violation, offspring_violation=violation)
    MOEAD(POINTS).parents(slots, generator=seeded())
    assert all(torch.equal(a, b) for a, b in zip(given, kept))
    assert torch.equal(torch.get_rng_state(), before)


def test_parents_come_from_the_neighbourhood() -> None:
    algorithm = MOEAD(POINTS, neighbours=6, locality=1.0)
    slots = SLOTS.repeat(50)
    pairs = algorithm.parents(slots, generator=seeded())
    assert pairs.shape == (1050, 2)
    assert pairs.dtype == torch.int64
    assert bool((pairs[:, 0] != pairs[:, 1]).all())
    for column in pairs.T:
        assert bool((algorithm.near[slots] == column[:, None]).any(1).all())
    drawn = {tuple(pair) for pair in pairs[slots == 0].tolist()}
    assert {i for pair in drawn for i in pair} == set(algorithm.near[0].tolist())
    assert torch.equal(pairs, algorithm.parents(slots, generator=seeded()))
    assert not torch.equal(pairs, algorithm.parents(slots, generator=seeded(1)))


def test_parents_come_from_everywhere_as_often_as_asked() -> None:
    slots = torch.zeros(20_000, dtype=torch.int64)
    algorithm = MOEAD(POINTS, neighbours=2, locality=0.75)
    pairs = algorithm.parents(slots, generator=seeded())
    outside = (algorithm.near[0] != pairs[:, :1]).all(1).double().mean()
    assert float(outside) == pytest.approx(0.25 * 19 / 21, abs=0.01)
    anywhere = MOEAD(POINTS, locality=0.0).parents(slots, generator=seeded())
    counts = torch.bincount(anywhere.flatten(), minlength=21)
    assert int(counts.min()) > 1700
    assert MOEAD(POINTS[:1]).parents(slots[:3], generator=seeded()).tolist() == [[0, 0]] * 3


def zdt1(x: np.ndarray) -> np.ndarray:
    g = 1 + 9 * x[:, 1:].mean(1)
    return np.stack([x[:, 0], g - np.sqrt(g * x[:, 0])], 1)


def crossed(mother: np.ndarray, father: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """SBX, each gene near either parent, and polynomial mutation of one gene in the mean."""
    u = random.random(mother.shape)
    beta = np.where(u < 0.5, (2 * u) ** (1 / 21), (2 - 2 * u) ** (-1 / 21))
    side = np.where(random.random(u.shape) < 0.5, beta, -beta)
    near = np.where(random.random(u.shape) < 0.5, beta, 1.0) * np.sign(side)
    child = (mother + father) / 2 + near * (mother - father) / 2
    u = random.random(u.shape)
    step = np.where(u < 0.5, (2 * u) ** (1 / 21) - 1, 1 - (2 - 2 * u) ** (1 / 21))
    step = step * (random.random(u.shape) < 1 / u.shape[1])
    clipped: np.ndarray = np.clip(child + step, 0, 1)
    return clipped


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("problem", ["dtlz2", "zdt1"])
def test_reaches_the_front_without_losing_diversity(problem: str, seed: int) -> None:
    if problem == "dtlz2":
        algorithm, n_genes, generations = MOEAD(das_dennis(3, 12), 20, PBI()), 12, 200
        unit = algorithm.weights / algorithm.weights.norm(dim=1, keepdim=True)
        targets = unit.numpy()  # where the weights' lines meet the front
    else:
        algorithm, n_genes, generations = MOEAD(das_dennis(2, 99)), 30, 200
        first = np.linspace(0, 1, 100)
        targets = np.stack([first, 1 - np.sqrt(first)], 1)
    generator, random = seeded(seed), np.random.default_rng(seed)
    slots = torch.arange(len(algorithm.points))
    state: Seen | None = None

    def score(x: np.ndarray) -> np.ndarray:
        return dtlz2(x, 3) if problem == "dtlz2" else zdt1(x)

    x = random.random((len(slots), n_genes))
    for _ in range(generations):
        pairs = algorithm.parents(slots, generator=generator).numpy()
        both = np.concatenate([x, crossed(x[pairs[:, 0]], x[pairs[:, 1]], random)])
        costs = torch.from_numpy(score(both))
        old, new = costs[: len(x)], costs[len(x) :]
        found = algorithm(old, new, slots, state=state, generator=generator)
        state, x = found.state, both[found.indices.numpy()]
    front = score(x)
    gap = np.linalg.norm(targets[:, None] - front[None], axis=2).min(1)
    assert gap.mean() < 0.01
    assert len(np.unique(front, axis=0)) > 0.9 * len(x)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"costs": rows(20)}, r"\(21, 3\)"),
        ({"costs": rows()[:, :2]}, r"\(21, 2\)"),
        ({"offspring": rows()[:, :2]}, r"\(q, 3\)"),
        ({"costs": rows()[:, :1]}, r"Truncation\(\)"),
        ({"costs": rows().numpy()}, "ndarray"),
        ({"offspring": torch.zeros((21, 3), dtype=torch.int64)}, "offspring got costs of"),
        ({"offspring": rows().float()}, "float32"),
        ({"offspring": torch.zeros((21, 3), dtype=torch.float64, device="meta")}, "meta"),
        ({"slots": SLOTS[:20]}, r"\(21,\)"),
        ({"slots": SLOTS.int()}, "int32"),
        ({"slots": SLOTS.tolist()}, "list"),
        ({"slots": SLOTS + 1}, "from 1 to 21"),
        ({"slots": SLOTS - 1}, "from -1 to 19"),
        ({"slots": SLOTS.to("meta")}, "slots on meta"),
        ({"violation": torch.zeros(20, dtype=torch.float64)}, r"violation \(20,\)"),
        ({"violation": torch.zeros(21)}, "float32"),
        ({"offspring_violation": torch.zeros(21)}, "offspring got violation"),
        ({"state": {}}, "state dict"),
        ({"state": Seen.blank(2)}, "memory of 2 objectives"),
        ({"generator": None}, "NoneType"),
    ],
)
def test_refuses(changed: dict[str, object], says: str) -> None:
    given: dict[str, object] = {"costs": rows(), "offspring": rows(), "slots": SLOTS}
    given.update(violation=None, offspring_violation=None, state=None, generator=seeded())
    given.update(changed)
    costs, offspring, slots = given.pop("costs"), given.pop("offspring"), given.pop("slots")
    with pytest.raises(ValueError, match=says):
        MOEAD(POINTS)(costs, offspring, slots, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("slots", [[0], torch.tensor(0), torch.tensor([21]), torch.ones(2)])
def test_refuses_slots_of_parents(slots: object) -> None:
    with pytest.raises(ValueError, match="slots"):
        MOEAD(POINTS).parents(slots, generator=seeded())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"neighbours": 0}, "neighbours=0"),
        ({"neighbours": True}, "neighbours=True"),
        ({"locality": 1.5}, "locality=1.5"),
        ({"locality": float("nan")}, "locality=nan"),
        ({"points": torch.ones(4)}, r"\(4,\)"),
        ({"points": torch.ones((4, 1))}, "Truncation"),
        ({"points": torch.zeros((4, 3))}, "zero row"),
        ({"points": torch.full((4, 3), torch.nan)}, "NaN"),
        ({"points": -torch.ones((4, 3))}, "negative"),
        ({"points": torch.ones((4, 3), dtype=torch.int64)}, "float"),
        ({"points": [[1.0, 0.0]]}, "list"),
    ],
)
def test_refuses_to_be_built(changed: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        MOEAD(**{"points": POINTS, **changed})  # type: ignore[arg-type]


def test_points_need_no_unit_sum() -> None:
    costs, offspring = rows(), rows(21, 1)
    plain = MOEAD(POINTS)(costs, offspring, SLOTS, generator=seeded()).indices
    for scale in (2.0**-1000, 4.0, 2.0**1000):
        scaled = MOEAD(POINTS * scale)(costs, offspring, SLOTS, generator=seeded()).indices
        assert torch.equal(scaled, plain)


@pytest.mark.gpu
@pytest.mark.parametrize("decompose", [tchebycheff, PBI()])
def test_same_slots_on_the_gpu(decompose: Decomposition) -> None:
    if not torch.cuda.is_available():
        pytest.skip("NO GPU: MOEA/D's slots on CUDA were not compared with those on the CPU")
    points = das_dennis(3, 40)
    p = len(points)
    slots = torch.randint(p, (3 * p,), generator=seeded())
    costs, offspring = rows(p), torch.cat([rows(p, 1), rows(p, 1), rows(p, 2)])
    here = MOEAD(points, decomposition=decompose)
    there = MOEAD(points.cuda(), decomposition=decompose)
    assert torch.equal(there.near.cpu(), here.near)
    expected = here(costs, offspring, slots, generator=seeded())
    for algorithm in (here, there):
        found = algorithm(costs.cuda(), offspring.cuda(), slots.cuda(), generator=seeded())
        assert found.indices.device.type == "cuda"
        assert torch.equal(found.indices.cpu(), expected.indices)
        assert torch.equal(found.state.ideal.cpu(), expected.state.ideal)
    with pytest.raises(ValueError, match="CPU"):
        here(costs, offspring, slots, generator=torch.Generator("cuda"))
