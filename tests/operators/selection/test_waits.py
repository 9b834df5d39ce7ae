"""How often a selection waits for its device: at most once a front, never once a survivor.

There need be no GPU: what would wait there (a number read, a mask turned into places) is counted
as it is called. moocore is hidden, as it serves the CPU only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from operators.selection import NSGA2, NSGA3, das_dennis, fronts
from operators.selection.dominance import peeled
from tests.contracts.selection import seeded

WAIT = {
    "__bool__", "__int__", "__float__", "__index__", "item", "tolist", "nonzero", "unique",
    "masked_select", "bincount", "repeat_interleave", "cpu", "numpy", "equal",
}  # fmt: skip


class Waits(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = function.__name__
        by_mask = name in ("__getitem__", "__setitem__") and masked(args[1])
        self.count += name in WAIT or by_mask
        return function(*args, **(kwargs or {}))


def masked(key: object) -> bool:
    keys = key if isinstance(key, tuple) else (key,)
    return any(isinstance(k, Tensor) and k.dtype == torch.bool for k in keys)


def waits(call: Callable[[], object]) -> int:
    with Waits() as counted:
        call()
    return counted.count


@pytest.fixture(autouse=True)
def _no_moocore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operators.selection.dominance._has_moocore", lambda: False)


def rows(n: int, m: int) -> Tensor:
    return torch.rand((n, m), dtype=torch.float64, generator=seeded(n))


def test_the_count_sees_what_waits() -> None:
    x = rows(4, 2)
    assert waits(lambda: x[x > 0.5]) == 1
    assert waits(lambda: (int(x.sum()), x.nonzero(), x[0].tolist())) == 3
    assert waits(lambda: (x + 1)[torch.tensor([0, 1])].argsort()) == 0


@pytest.mark.parametrize("m", [2, 3, 5])
def test_ranking_waits_once_a_front(m: int) -> None:
    fixed = 2 * m + 2  # making the ranks dense and the rows distinct
    for n in (100, 1500):
        costs = rows(n, m)
        n_fronts = int(peeled(costs, n).max()) + 1
        assert waits(lambda costs=costs, n=n: peeled(costs, n)) <= n_fronts + fixed
    assert waits(lambda: fronts(rows(1500, m), enough=1)) <= 1 + fixed + 4


@pytest.mark.parametrize(
    "selection", [NSGA2(), NSGA3(das_dennis(3, 12)), NSGA3(das_dennis(3, 20))]
)
def test_survival_waits_no_more_for_more_survivors(selection: NSGA2 | NSGA3) -> None:
    def beyond_ranking(n: int) -> int:
        costs = torch.nn.functional.normalize(rows(n, 3))  # one front, which is cut
        all_in_all = waits(lambda: selection(costs, n // 2, generator=seeded()))
        return all_in_all - waits(lambda: fronts(costs, enough=n // 2))

    assert beyond_ranking(2000) <= beyond_ranking(200) <= 30
