from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.selection import dominance, fronts
from operators.selection.dominance import UNRANKED, feasibility, peeled
from tests.oracles import dominance as oracle

STEPS = [0.0, -0.0, 1.0, 2.0, 0.5, -3.0, 1e300, 1e-300, 5e-324]
BROKEN = [np.nan, np.inf, -np.inf]
VIOLATIONS = [0.0, -1.0, 1e-300, 0.5, 0.5, 2.0, np.inf, np.nan]


@st.composite
def tables(draw: st.DrawFn, values: list[float], most: int = 24) -> np.ndarray:
    """Few values, so that ties, duplicates and chains are the rule."""
    m = draw(st.integers(1, 5))
    row = st.lists(st.sampled_from(values), min_size=m, max_size=m)
    chosen = draw(st.lists(row, min_size=0, max_size=most))
    table = np.array(chosen, dtype=np.float64).reshape(-1, m)
    return np.repeat(table[:, :1], m, axis=1) if draw(st.booleans()) else table


@settings(max_examples=1000, deadline=None)
@given(st.data())
def test_equals_the_oracle(data: st.DataObject) -> None:
    costs = data.draw(tables(STEPS + BROKEN))
    n = len(costs)
    column = st.lists(st.sampled_from(VIOLATIONS), min_size=n, max_size=n)
    violation = data.draw(st.none() | column.map(np.array))
    enough = data.draw(st.none() | st.integers(1, n + 2))
    found = fronts(
        torch.from_numpy(costs),
        None if violation is None else torch.from_numpy(violation.astype(np.float64)),
        enough,
    )
    assert found.dtype == torch.int64
    assert found.tolist() == oracle.fronts(costs, violation, enough).tolist()


@settings(max_examples=1000, deadline=None)
@given(tables(STEPS), st.integers(1, 24))
def test_both_paths_equal_the_oracle(costs: np.ndarray, wanted: int) -> None:
    if not len(costs):
        return
    wanted = min(wanted, len(costs))
    assert peeled(torch.from_numpy(costs), len(costs)).tolist() == oracle.fronts(costs).tolist()
    stopped = oracle.fronts(costs, enough=wanted).tolist()
    assert peeled(torch.from_numpy(costs), wanted).tolist() == stopped


@pytest.mark.parametrize("m", [2, 3, 5])
@pytest.mark.parametrize("kind", ["random", "sphere", "chain", "grid"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_paths_agree_beyond_one_block(kind: str, m: int, dtype: torch.dtype) -> None:
    random = np.random.default_rng(m)
    costs = random.random((1500, m))
    if kind == "sphere":
        costs /= np.linalg.norm(costs, axis=1, keepdims=True)
    elif kind == "chain":
        costs = np.repeat(np.arange(1500)[::-1, None] // 3, m, axis=1).astype(np.float64)
    elif kind == "grid":
        costs = random.integers(0, 6, (1500, m)).astype(np.float64)
    table = torch.from_numpy(costs).to(dtype)
    whole = fronts(table)
    assert torch.equal(whole, peeled(table.double(), 1500))
    half = fronts(table, enough=700)
    assert torch.equal(half, peeled(table.double(), 700))
    ranked = half != UNRANKED
    assert torch.equal(half[ranked], whole[ranked])
    assert 700 <= int(ranked.sum()) < 700 + int(whole.bincount().max())


def test_peeling_with_more_rows_than_int16_holds() -> None:
    costs = torch.from_numpy(np.random.default_rng(0).random((33_000, 2)))
    assert torch.equal(fronts(costs, enough=50), peeled(costs, 50))


def test_many_objectives_take_the_torch_path() -> None:
    costs = np.random.default_rng(0).integers(0, 2, (60, 40)).astype(np.float64)
    assert fronts(torch.from_numpy(costs)).tolist() == oracle.fronts(costs).tolist()


def test_without_moocore_the_same_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = torch.from_numpy(np.random.default_rng(0).random((300, 3)))
    with_it = fronts(costs)
    monkeypatch.setattr("operators.selection.dominance._has_moocore", lambda: False)
    assert torch.equal(fronts(costs), with_it)


def test_blocks_of_another_device_give_the_same_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    tables = [torch.from_numpy(random.random((2500, m))) for m in (1, 2, 3)]
    expected = [peeled(costs, 2500) for costs in tables]
    monkeypatch.setattr(dominance, "_BLOCK", dominance._DEVICE_BLOCK)  # counts of more than a byte
    monkeypatch.setattr(dominance, "_TILE", dominance._DEVICE_TILE)
    assert all(torch.equal(peeled(c, 2500), rank) for c, rank in zip(tables, expected))


def test_no_rows() -> None:
    assert fronts(torch.zeros((0, 3))).tolist() == []


def test_feasible_are_valid() -> None:
    costs = torch.tensor([[0.0], [torch.nan], [0.0], [0.0]])
    feasible, valid = feasibility(costs, torch.tensor([0.0, 0.0, 1.0, torch.nan]))
    assert feasible.tolist() == [True, False, False, False]
    assert valid.tolist() == [True, False, True, False]


@pytest.mark.gpu
def test_same_ranks_on_the_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("NO GPU: ranks on CUDA were not compared with those on the CPU")
    for m in (1, 2, 3, 5):
        random = np.random.default_rng(m)
        fine, coarse = random.random((3000, m)), random.integers(-2, 3, (3000, m)) * 0.5
        coarse[::50] = -0.0
        coarse[7::60, 0] = random.choice([np.nan, np.inf, -np.inf, 1e-310, 1e300], 50)
        violation = torch.from_numpy(random.integers(-1, 3, 3000).astype(np.float64))
        for costs in (torch.from_numpy(fine), torch.from_numpy(coarse)):
            for bad in (None, violation):
                for enough in (None, 900):
                    there = None if bad is None else bad.cuda()
                    found = fronts(costs.cuda(), there, enough)
                    assert torch.equal(found.cpu(), fronts(costs, bad, enough))


def test_refusals() -> None:
    costs = torch.zeros((4, 2))
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        fronts(costs[:, 0])
    with pytest.raises(ValueError, match=r"shape \(4, 0\)"):
        fronts(costs[:, :0])
    with pytest.raises(ValueError, match="int64"):
        fronts(costs.long())
    with pytest.raises(ValueError, match=r"float8_e4m3fn, expected .*costs\.double"):
        fronts(costs.to(torch.float8_e4m3fn))
    with pytest.raises(ValueError, match=r"violation \(4, 1\)"):
        fronts(costs, torch.zeros((4, 1)))
    with pytest.raises(ValueError, match="violation list"):
        fronts(costs, [0.0] * 4)  # type: ignore[arg-type]
    for enough in (0, True, 2.5):
        with pytest.raises(ValueError, match=f"enough={enough}"):
            fronts(costs, enough=enough)  # type: ignore[arg-type]
