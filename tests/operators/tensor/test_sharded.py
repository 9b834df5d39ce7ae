"""A selection over shards against the same selection on the whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from evolve.variation import Selection
from operators.selection import NSGA2, NSGA3, RVEA, Contenders, HypE, contenders, das_dennis
from operators.selection.normalisation import Memory
from operators.tensor import Evolution, Sharded, sharded
from tests.contracts.selection import SelectionContract, seeded
from tests.operators.tensor.flow import begun, box, gone, same

POINTS = das_dennis(3, 5)  # 21 of them
THREE = ("cpu", torch.device("cpu"), "cpu")

WHOLE: dict[str, NSGA2 | NSGA3 | HypE] = {
    "NSGA2": NSGA2(),
    "NSGA3": NSGA3(POINTS),
    "HypE": HypE(),
}


class TestNSGA2(SelectionContract):
    def selection(self) -> Selection:
        return Sharded(NSGA2(), THREE)


class TestNSGA3(SelectionContract):
    def selection(self) -> Selection:
        return Sharded(NSGA3(POINTS), THREE)


class TestHypE(SelectionContract):
    def selection(self) -> Selection:
        return Sharded(HypE(), THREE)


def rows(n: int, seed: int) -> Tensor:
    """Near a sphere, on a grid, or anywhere: few fronts, equal rows, many fronts."""
    random = np.random.default_rng(seed)
    costs = random.random((n, 3))
    if seed % 3 == 0:
        costs *= (1 + random.exponential(0.05, (n, 1))) / np.linalg.norm(costs, axis=1)[:, None]
    elif seed % 3 == 1:
        costs = random.integers(0, 4, (n, 3)).astype(np.float64)
    return torch.from_numpy(costs)


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("name", WHOLE)
def test_same_survivors_order_and_state_as_on_the_whole(name: str, constrained: bool) -> None:
    one, other = WHOLE[name], Sharded(WHOLE[name], THREE)
    states: list[object | None] = [None, None]
    for step in range(12):  # chained: the memory must stay the same too
        costs, random = rows(60, step), np.random.default_rng(step)
        violation = None
        if constrained:
            violation = torch.from_numpy(random.integers(-2, 3, 60).astype(np.float64))
            costs[random.integers(60, size=3)] = torch.nan
        k = int(random.integers(1, 61))
        found = [
            each(costs, k, violation=violation, state=state, generator=seeded(step))
            for each, state in zip((one, other), states)
        ]
        assert torch.equal(found[0].indices, found[1].indices)
        states = [each.state for each in found]
        assert same_memory(*states)


def same_memory(one: object, other: object) -> bool:
    if not (isinstance(one, Memory) and isinstance(other, Memory)):
        return one is other is None
    return all(torch.equal(a, b) for a, b in zip(vars(one).values(), vars(other).values()))


def test_each_device_gets_its_part_and_the_selection_the_contenders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    came: list[list[int]] = []
    met: list[int] = []

    def spied(shards: list[Tensor], k: int, violations: list[Tensor] | None = None) -> Contenders:
        came.append([len(each) for each in shards])
        assert violations is not None
        came.append([len(each) for each in violations])
        found = contenders(shards, k, violations)
        met.append(len(found.rows))
        return found

    monkeypatch.setattr(sharded, "contenders", spied)
    costs = rows(1000, 2)
    Sharded(NSGA2(), THREE)(costs, 50, violation=torch.zeros_like(costs[:, 0]), generator=seeded())
    assert came == [[334, 333, 333]] * 2
    assert 50 <= met[0] < 300


def test_fewer_rows_than_devices() -> None:
    costs = rows(2, 0)
    assert Sharded(NSGA2(), THREE)(costs, 1, generator=seeded()).indices.shape == (1,)


def test_a_whole_run_has_the_bits_of_the_run_without() -> None:
    selections: list[Selection] = [NSGA3(POINTS), Sharded(NSGA3(POINTS), THREE)]
    flows = []
    for selection in selections:
        torch.manual_seed(5)
        flows.append(gone(begun(Evolution(24, 3, *box(), selection, Memory.blank(3))), 20))
    assert same(*flows)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Sharded(RVEA(POINTS, 10), THREE), "selection RVEA"),  # type: ignore[arg-type]
        (lambda: Sharded(NSGA2(), []), "one or more"),
        (lambda: Sharded(NSGA2(), "cpu"), r"\[torch.device\('cuda:0'\)"),
        (lambda: Sharded(NSGA2(), ["gpu"]), "devices.*gpu"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], Sharded], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


def test_a_device_that_is_not_here_is_refused_when_built(monkeypatch: pytest.MonkeyPatch) -> None:
    for n, devices, said in ((0, ["cuda"], "cuda"), (2, ["cpu", "cuda:1", "cuda:2"], "cuda:2")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda n=n: n)
        with pytest.raises(ValueError, match=f"got {said}, but torch sees {n} CUDA devices here"):
            Sharded(NSGA2(), devices)
    assert Sharded(NSGA2(), ["cuda:1"]).devices == (torch.device("cuda:1"),)


@pytest.mark.gpu
def test_shards_on_the_cpu_and_the_gpu_together() -> None:
    if not torch.cuda.is_available():
        pytest.skip("NO GPU: no population was sharded over CPU and GPU")
    for name, whole in WHOLE.items():
        costs = rows(2000, 2)
        found = Sharded(whole, ["cuda", "cpu"])(costs, 700, generator=seeded())
        expected = whole(costs, 700, generator=seeded())
        assert found.indices.device.type == "cpu"
        assert torch.equal(found.indices, expected.indices), name
        assert same_memory(found.state, expected.state)
