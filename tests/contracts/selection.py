"""What every selection must do. Subclass `SelectionContract` and give `selection()`."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import Tensor

from evolve.variation import Selected, Selection

SHORT = [torch.float16, torch.bfloat16]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def chained(selection: Selection, costs: Tensor, violation: Tensor) -> list[Selected]:
    """Two calls, the second with what the first remembers, and a front that is cut."""
    first = selection(costs, 11, violation=violation, generator=seeded())
    near = costs / costs.norm(dim=1, keepdim=True)
    return [first, selection(near, 11, state=first.state, generator=seeded())]


def fields(state: object | None) -> list[Tensor]:
    return [] if state is None else list(vars(state).values())


class SelectionContract:
    n_objectives = 3

    def selection(self) -> Selection:
        raise NotImplementedError

    def rows(self, n: int, seed: int = 0) -> Tensor:
        noise = np.random.default_rng(seed).random((n, self.n_objectives))
        return torch.from_numpy(noise)

    def survivors(self, costs: Tensor, k: int, violation: Tensor | None = None) -> Selected:
        return self.selection()(costs, k, violation=violation, generator=seeded())

    def assert_exactly(self, selected: Selected, k: int, n: int) -> None:
        indices = selected.indices
        assert indices.dtype == torch.int64
        assert indices.shape == (k,)
        assert len(set(indices.tolist())) == k
        assert int(indices.min()) >= 0
        assert int(indices.max()) < n

    def test_meets_the_protocol(self) -> None:
        assert isinstance(self.selection(), Selection)

    def test_survives_a_pickle(self) -> None:
        copy = pickle.loads(pickle.dumps(self.selection()))
        costs = self.rows(20)
        again = copy(costs, 7, generator=seeded()).indices
        assert torch.equal(again, self.survivors(costs, 7).indices)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *SHORT])
    @pytest.mark.parametrize(("n", "k"), [(1, 1), (2, 1), (30, 1), (30, 13), (30, 29), (30, 30)])
    def test_gives_exactly_k(self, n: int, k: int, dtype: torch.dtype) -> None:
        self.assert_exactly(self.survivors(self.rows(n).to(dtype), k), k, n)

    @pytest.mark.parametrize("dtype", [torch.float64, *SHORT])
    @pytest.mark.parametrize("k", [1, 5, 17, 39, 40])
    def test_gives_exactly_k_of_broken_and_infeasible_rows(
        self, k: int, dtype: torch.dtype
    ) -> None:
        costs = self.rows(40).to(dtype)
        costs[3:12, 0] = torch.nan
        costs[12:15, -1] = torch.inf
        violation = torch.zeros(40, dtype=dtype)
        violation[10:30] = 2.0
        violation[30] = torch.nan
        self.assert_exactly(self.survivors(costs, k, violation), k, 40)

    @pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 0.0, 1e300, 1e-300])
    def test_gives_exactly_k_of_equal_rows(self, value: float) -> None:
        costs = torch.full((9, self.n_objectives), value, dtype=torch.float64)
        self.assert_exactly(self.survivors(costs, 4), 4, 9)

    @pytest.mark.parametrize("scale", [1e-300, 1e-9, 1e300, 1.7e308])
    def test_gives_exactly_k_at_any_scale(self, scale: float) -> None:
        costs = (self.rows(30) * 2 - 1) * scale
        self.assert_exactly(self.survivors(costs, 11), 11, 30)

    @pytest.mark.parametrize("dtype", SHORT)
    def test_gives_exactly_k_of_the_largest_and_the_least_short_floats(
        self, dtype: torch.dtype
    ) -> None:
        signs = self.rows(30).to(dtype) * 2 - 1
        for scale in (torch.finfo(dtype).max, torch.finfo(dtype).smallest_normal):
            self.assert_exactly(self.survivors(signs * scale, 11), 11, 30)

    def test_the_layout_of_costs_does_not_matter(self) -> None:
        costs = self.rows(30)
        expected = self.survivors(costs, 11).indices
        spaced = torch.full((60, 3 * self.n_objectives), torch.nan, dtype=torch.float64)
        spaced[::2, 1::3] = costs
        for same in (costs.T.contiguous().T, spaced[::2, 1::3]):
            assert torch.equal(self.survivors(same, 11).indices, expected)

    def test_gives_exactly_k_of_expanded_costs(self) -> None:
        costs = self.rows(30)
        self.assert_exactly(self.survivors(costs[:1].expand(30, -1), 11), 11, 30)
        one = costs[:, :1].expand(-1, self.n_objectives)
        none = torch.zeros((), dtype=torch.float64).expand(30)
        self.assert_exactly(self.survivors(one, 11, none), 11, 30)

    def test_a_dominating_row_always_survives(self) -> None:
        costs = self.rows(30)
        costs[17] = -1.0
        assert self.survivors(costs, 1).indices.tolist() == [17]
        assert int(self.survivors(costs, 12).indices[0]) == 17

    def test_feasible_before_infeasible_before_broken(self) -> None:
        costs = self.rows(12)
        violation = torch.zeros(12, dtype=torch.float64)
        violation[:4] = torch.tensor([3.0, 1.0, 2.0, 1.0])
        costs[:4] -= 10.0  # better, were they allowed
        costs[4] = torch.nan
        best_first = self.survivors(costs, 12, violation).indices.tolist()
        assert sorted(best_first[:7]) == [5, 6, 7, 8, 9, 10, 11]
        assert sorted(best_first[7:9]) == [1, 3]
        assert best_first[9:] == [2, 0, 4]

    def test_zero_and_negative_violation_are_feasible(self) -> None:
        costs = self.rows(20)
        violation = -torch.arange(20, dtype=torch.float64)
        constrained = self.survivors(costs, 9, violation).indices
        assert torch.equal(constrained, self.survivors(costs, 9).indices)

    def test_same_seed_same_bits_and_no_global_generator(self) -> None:
        costs = torch.cat([self.rows(25), self.rows(25)])
        torch.manual_seed(1)
        before = torch.get_rng_state()
        one = self.survivors(costs, 20).indices
        torch.manual_seed(2)
        other = self.survivors(costs, 20).indices
        assert torch.equal(one, other)
        torch.manual_seed(1)
        assert torch.equal(torch.get_rng_state(), before)

    def test_the_seed_decides_among_equals(self) -> None:
        costs = torch.zeros((30, self.n_objectives))
        drawn = {tuple(self.selection()(costs, 5, generator=seeded(s)).indices) for s in range(8)}
        assert len(drawn) > 1

    def test_changes_no_argument(self) -> None:
        costs, violation = self.rows(20), torch.linspace(-1, 1, 20, dtype=torch.float64)
        kept = costs.clone(), violation.clone()
        first = self.selection()(costs, 8, violation=violation, generator=seeded())
        self.selection()(costs, 8, violation=violation, state=first.state, generator=seeded())
        assert torch.equal(costs, kept[0])
        assert torch.equal(violation, kept[1])

    def test_state_is_a_value(self) -> None:
        costs, later = self.rows(30, seed=1), self.rows(30, seed=2)
        state = self.survivors(costs, 10).state
        runs = [
            self.selection()(later, 10, state=state, generator=seeded()).indices for _ in range(2)
        ]
        assert torch.equal(*runs)

    def test_follows_no_gradient(self) -> None:
        selection, costs, violation = self.selection(), self.rows(30), self.rows(30)[:, 0] - 0.5
        expected = chained(selection, costs, violation)
        found = chained(selection, costs.requires_grad_(), violation.clone().requires_grad_())
        for one, other in zip(found, expected):
            assert torch.equal(one.indices, other.indices)
            assert not any(each.requires_grad for each in fields(one.state))
            assert all(map(torch.equal, fields(one.state), fields(other.state)))

    def test_another_default_device(self) -> None:
        selection, costs, violation = self.selection(), self.rows(30), self.rows(30)[:, 0] - 0.5
        expected = chained(selection, costs, violation)
        with torch.device("meta"):  # stands for "cuda", which is not everywhere
            found = chained(selection, costs, violation)
        for one, other in zip(found, expected):
            assert torch.equal(one.indices, other.indices)
            assert all(map(torch.equal, fields(one.state), fields(other.state)))

    @pytest.mark.parametrize("k", [0, -1, 11, True, 2.0])
    def test_refuses_a_k_outside(self, k: int) -> None:
        with pytest.raises(ValueError, match="survivors of 10 rows"):
            self.survivors(self.rows(10), k)

    def test_refuses_costs_that_are_no_matrix_of_floats(self) -> None:
        with pytest.raises(ValueError, match="shape"):
            self.survivors(torch.zeros(10), 2)
        with pytest.raises(ValueError, match="float"):
            self.survivors(torch.zeros((10, self.n_objectives), dtype=torch.int64), 2)
        with pytest.raises(ValueError, match="ndarray"):
            self.survivors(np.zeros((10, self.n_objectives)), 2)  # type: ignore[arg-type]

    def test_refuses_a_violation_of_another_shape_dtype_or_device(self) -> None:
        costs = self.rows(10)
        with pytest.raises(ValueError, match=r"violation \(9,\)"):
            self.survivors(costs, 2, torch.zeros(9, dtype=torch.float64))
        with pytest.raises(ValueError, match="float32"):
            self.survivors(costs, 2, torch.zeros(10, dtype=torch.float32))
        with pytest.raises(ValueError, match="meta"):
            self.survivors(costs, 2, torch.zeros(10, dtype=torch.float64, device="meta"))

    def test_refuses_another_generator(self) -> None:
        with pytest.raises(ValueError, match="generator"):
            self.selection()(self.rows(10), 2, generator=None)  # type: ignore[arg-type]

    @pytest.mark.gpu
    def test_same_survivors_on_the_gpu(self) -> None:
        if not torch.cuda.is_available():
            pytest.skip("NO GPU: survivors on CUDA were not compared with those on the CPU")
        costs = self.rows(500)
        there = self.survivors(costs.cuda(), 200).indices
        assert there.device.type == "cuda"
        assert torch.equal(there.cpu(), self.survivors(costs, 200).indices)
        with pytest.raises(ValueError, match="CPU"):
            self.selection()(costs.cuda(), 2, generator=torch.Generator("cuda"))
