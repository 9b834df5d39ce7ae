"""Sharded fronts against the fronts of the whole, and survivors against those of the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from evolve.variation import Selection
from operators.selection import NSGA2, NSGA3, das_dennis, fronts
from operators.selection.dominance import UNRANKED
from operators.selection.normalisation import Memory
from operators.selection.sharded import contenders, sharded_fronts
from tests.operators.selection.cases import CASES, IN_TURNS

STEPS = [0.0, -0.0, 1.0, 2.0, 0.5, -3.0, 1e300, 5e-324]
BROKEN = [np.nan, np.inf, -np.inf]
VIOLATIONS = [0.0, -1.0, 0.5, 0.5, 2.0, np.inf, np.nan]


def cut(table: Tensor, sizes: list[int]) -> list[Tensor]:
    """Clones, so that no shard is a view of the whole."""
    return [part.clone() for part in torch.split(table, sizes)]


def spread(n: int, n_shards: int, seed: int) -> list[int]:
    """Shares of n, some of them empty."""
    ends = np.sort(np.random.default_rng(seed).integers(0, n + 1, n_shards - 1))
    return [int(size) for size in np.diff([0, *ends.tolist(), n])]


@IN_TURNS
@CASES
@given(st.data())
def test_equals_the_fronts_of_the_whole(turn: int, data: st.DataObject) -> None:
    m = data.draw(st.integers(1, 4))
    row = st.lists(st.sampled_from(STEPS + BROKEN), min_size=m, max_size=m)
    rows = data.draw(st.lists(row, max_size=24))
    costs = torch.tensor(rows, dtype=torch.float64).reshape(-1, m)
    n = len(costs)
    column = st.lists(st.sampled_from(VIOLATIONS), min_size=n, max_size=n)
    drawn = data.draw(st.none() | column)
    violation = None if drawn is None else torch.tensor(drawn, dtype=torch.float64)
    enough = data.draw(st.none() | st.integers(1, n + 2))
    sizes = spread(n, data.draw(st.integers(1, 4)), data.draw(st.integers(0, 9)))
    found = sharded_fronts(
        cut(costs, sizes), None if violation is None else cut(violation, sizes), enough
    )
    assert [len(each) for each in found] == sizes
    assert torch.cat(found).dtype == torch.int64
    assert torch.equal(torch.cat(found), fronts(costs, violation, enough))


def rows(kind: str, n: int, m: int, seed: int) -> Tensor:
    random = np.random.default_rng(seed)
    costs = random.random((n, m))
    if kind == "near":
        costs /= np.linalg.norm(costs, axis=1, keepdims=True)
        costs *= 1 + 0.05 * random.exponential(size=(n, 1))
    elif kind == "chain":
        costs = np.repeat(np.arange(n)[::-1, None] // 3, m, axis=1).astype(np.float64)
    elif kind == "sorted":  # every shard but the first is dominated by the one before it
        costs = costs + np.repeat(np.arange(4), -(-n // 4))[:n, None]
    elif kind == "grid":
        costs = random.integers(0, 6, (n, m)).astype(np.float64)
    return torch.from_numpy(costs)


KINDS = ["random", "near", "chain", "sorted", "grid"]


@pytest.mark.parametrize("m", [2, 3, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_fronts_of_the_whole_beyond_one_block(kind: str, m: int) -> None:
    costs = rows(kind, 600, m, seed=m)
    for table in (costs, costs.float()):
        for enough in (None, 1, 300):
            found = sharded_fronts(cut(table, [150] * 4), enough=enough)
            assert torch.equal(torch.cat(found), fronts(table, enough=enough))


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("constrained", [False, True])
def test_the_contenders_have_the_survivors_of_the_whole(
    kind: str, m: int, constrained: bool
) -> None:
    selections: list[Selection] = [NSGA2(), NSGA3(das_dennis(n_objectives=m, divisions=7))]
    for selection in selections:
        state: object | None = None
        again: object | None = None
        for step in range(6):  # chained: the memory must stay the same too
            costs = rows(kind, 200, m, seed=step)
            random = np.random.default_rng(step)
            violation = None
            if constrained:
                violation = torch.from_numpy(random.integers(-2, 3, 200).astype(np.float64))
                costs[random.integers(200, size=3)] = torch.nan
            sizes = spread(200, 3, step)
            k = int(random.integers(1, 201))
            whole = selection(costs, k, violation=violation, state=state, generator=seeded(step))
            few = contenders(
                cut(costs, sizes), k, None if violation is None else cut(violation, sizes)
            )
            chosen = selection(
                few.costs, k, violation=few.violation, state=again, generator=seeded(step)
            )
            assert torch.equal(few.rows[chosen.indices], whole.indices)
            state, again = whole.state, chosen.state
            assert same_memory(state, again)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same_memory(one: object, other: object) -> bool:
    if not (isinstance(one, Memory) and isinstance(other, Memory)):
        return one is other is None
    return all(torch.equal(a, b) for a, b in zip(vars(one).values(), vars(other).values()))


def test_only_what_may_survive_is_gathered() -> None:
    costs = rows("random", 4000, 3, seed=0)
    few = contenders(cut(costs, [1000] * 4), 100)
    n_ranked = int((fronts(costs, enough=100) != UNRANKED).sum())
    assert 100 <= n_ranked <= len(few.rows) <= n_ranked + 3 * 4
    assert torch.equal(few.costs, costs[few.rows])


def test_arguments_are_left_as_they_were() -> None:
    costs = rows("grid", 60, 3, seed=1)
    shards, kept = cut(costs, [20, 40]), costs.clone()
    sharded_fronts(shards, enough=10)
    contenders(shards, 10)
    assert torch.equal(torch.cat(shards), kept)


def test_bad_shards_are_refused() -> None:
    good = torch.rand(4, 3)
    with pytest.raises(ValueError, match=r"shards of \[\]"):
        sharded_fronts([])
    with pytest.raises(ValueError, match="of the same"):
        sharded_fronts([good, torch.rand(4, 2)])
    with pytest.raises(ValueError, match="float64"):
        sharded_fronts([good, good.double()])
    with pytest.raises(ValueError, match="1 violations for 2 shards"):
        sharded_fronts([good, good], [torch.zeros(4)])
    with pytest.raises(ValueError, match=r"violation \(3,\)"):
        sharded_fronts([good], [torch.zeros(3)])
    for find in (sharded_fronts, lambda shards, bad: contenders(shards, 2, bad)):
        with pytest.raises(ValueError, match="None for shard 0, expected a tensor for each"):
            find([good, good], [None, torch.zeros(4)])
    for enough in (0, True, 2.0):
        with pytest.raises(ValueError, match=f"enough={enough}, expected an int"):
            sharded_fronts([good], enough=enough)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shape"):
        sharded_fronts([torch.rand(4)])


@pytest.mark.parametrize("k", [0, -1, 9, True, 2.0])
def test_contenders_refuse_a_k_outside(k: int) -> None:
    with pytest.raises(ValueError, match=f"contenders was asked for k={k!r} .*of 8 rows"):
        contenders([torch.rand(4, 3), torch.rand(4, 3)], k)


def test_shards_may_be_an_iterator() -> None:
    costs = rows("grid", 60, 3, seed=1)
    bad = torch.from_numpy(np.random.default_rng(0).integers(-2, 3, 60).astype(np.float64))
    shards, violations = cut(costs, [20, 40]), cut(bad, [20, 40])
    for one, other in zip(
        sharded_fronts(iter(shards), iter(violations), 9), sharded_fronts(shards, violations, 9)
    ):
        assert torch.equal(one, other)
    found, expected = (
        contenders(iter(shards), 9, iter(violations)),
        contenders(shards, 9, violations),
    )
    assert torch.equal(found.rows, expected.rows)


@pytest.mark.gpu
def test_shards_on_the_cpu_and_the_gpu_together() -> None:
    if not torch.cuda.is_available():
        pytest.skip("NO GPU: fronts of shards on two devices were not compared")
    costs = rows("random", 2000, 3, seed=0)
    shards = cut(costs, [500] * 4)
    apart = [shards[0], shards[1].cuda(), shards[2], shards[3].cuda()]
    found = sharded_fronts(apart, enough=900)
    assert [each.device.type for each in found] == ["cpu", "cuda", "cpu", "cuda"]
    whole = fronts(costs, enough=900)
    assert torch.equal(torch.cat([each.cpu() for each in found]), whole)
    few = contenders(apart, 900)
    assert torch.equal(few.rows, contenders(shards, 900).rows)
