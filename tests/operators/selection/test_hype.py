from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from evolve.variation import Selection
from operators.selection import NSGA2, divisions_for, hype
from operators.selection.contribution import exact_losses
from operators.selection.hype import HypE, kept_by_samples, kept_exactly
from operators.selection.indicators import hypervolume
from tests.contracts.selection import SelectionContract, seeded
from tests.operators.selection.loop import evolved
from tests.operators.selection.test_contribution import front
from tests.oracles import dominance
from tests.oracles import hypervolume as oracle


class TestContract(SelectionContract):
    def selection(self) -> HypE:
        return HypE()


class TestContractOfTwoObjectives(SelectionContract):
    n_objectives = 2

    def selection(self) -> HypE:
        return HypE()


class TestContractBySamples(SelectionContract):
    n_objectives = 4

    def selection(self) -> HypE:
        return HypE(n_samples=512)


class TestContractOfAReference(SelectionContract):
    def selection(self) -> HypE:
        return HypE(reference=torch.full((3,), 0.6))


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("steps", [1000, 4])
def test_survivors_equal_the_oracle(m: int, steps: int) -> None:
    random = np.random.default_rng(100 * m + steps)
    cut_off = 0
    for seed in range(60):
        n = int(random.integers(2, 8))
        k = int(random.integers(1, n))
        costs = random.integers(0, steps, (n, m)) / steps * 10.0 ** np.arange(m)
        found = HypE()(torch.from_numpy(costs), k, generator=seeded(seed)).indices.tolist()
        rank = dominance.fronts(costs, enough=k)
        last = rank[rank != dominance.UNRANKED].max()
        sure, cut = np.flatnonzero(rank < last), np.flatnonzero(rank == last)
        assert sorted(found[: len(sure)]) == sure.tolist()
        wanted = k - len(sure)
        if wanted < len(cut):
            cut = cut[torch.randperm(len(cut), generator=seeded(seed)).numpy()]
            low, high = costs[cut].min(0), costs[cut].max(0)
            rows = (costs[cut] - low) / np.where(high > low, high - low, 1)
            reference = np.full(m, 1 + 1 / divisions_for(m, max(k, m)))
            cut = np.sort(cut[oracle.kept(rows, reference, wanted)])
            cut_off += 1
        assert found[len(sure) :] == cut.tolist()
    assert cut_off > 20


@pytest.mark.parametrize("m", [2, 3, 4])
def test_samples_lose_little_of_the_volume_that_exact_steps_keep(m: int) -> None:
    random = np.random.default_rng(m)
    reference = np.full(m, 1.1)
    shares = []
    for seed in range(12):
        rows = front(7, m, random)
        best = oracle.hypervolume(rows[oracle.kept(rows, reference, 3)], reference)
        given = torch.from_numpy(rows), torch.from_numpy(reference)
        left = kept_by_samples(*given, 3, 1 << 13, seeded(seed)).numpy()
        assert left.tolist() == sorted(set(left.tolist()))
        shares.append(oracle.hypervolume(rows[left], reference) / best)
        if m < 4:
            assert kept_exactly(*given, 3).tolist() == oracle.kept(rows, reference, 3)
    assert float(np.mean(shares)) > 0.99


def test_iterated_removal_beats_one_shot() -> None:
    """Two near rows in one place: both look dispensable, and one of them must stay."""
    costs = torch.tensor([[0.0, 1.0], [0.45, 0.46], [0.46, 0.45], [1.0, 0.0], [0.2, 0.79]])
    indices = HypE()(costs, 3, generator=seeded()).indices.tolist()
    assert len({1, 2} & set(indices)) == 1


@pytest.mark.parametrize("scale", [1e-300, 1e-6, 1.0, 1e300])
def test_scale_and_offset_do_not_matter(scale: float) -> None:
    costs = torch.from_numpy(np.random.default_rng(0).random((40, 3)))
    factor = torch.tensor([scale, 1.0, 1024.0], dtype=torch.float64)
    one = HypE()(costs, 15, generator=seeded()).indices
    assert torch.equal(one, HypE()(costs * factor, 15, generator=seeded()).indices)


def test_a_constant_objective_changes_nothing() -> None:
    plane = torch.from_numpy(front(12, 2, np.random.default_rng(3)))
    rows = torch.cat([plane, torch.full((12, 1), 7.0, dtype=torch.float64)], 1)
    reference = torch.tensor([1.5, 1.5, 9.0], dtype=torch.float64)
    flat = HypE(reference[:2])(plane, 5, generator=seeded()).indices
    assert torch.equal(HypE(reference)(rows, 5, generator=seeded()).indices, flat)


@pytest.mark.parametrize("m", [3, 4])
def test_rows_beyond_the_reference_go_first(m: int) -> None:
    rows = torch.from_numpy(front(12, m, np.random.default_rng(m)))
    rows[:6, 0] += 3.0
    rows[6:, 1] += 0.5  # still no row dominates another
    rows[:6, 1] -= 5.0
    reference = torch.full((m,), 2.0)
    kept = HypE(reference)(rows, 6, generator=seeded()).indices.tolist()
    assert kept == [6, 7, 8, 9, 10, 11]
    assert len(HypE(reference - 30)(rows, 5, generator=seeded()).indices) == 5


def test_only_the_cut_front_counts() -> None:
    """The sure rows leave the contributions of the rows behind them as they are."""
    behind = torch.from_numpy(front(10, 3, np.random.default_rng(5)))
    alone = HypE(torch.full((3,), 2.0))(behind, 4, generator=seeded()).indices
    both = torch.cat([behind, torch.full((1, 3), -1.0, dtype=torch.float64)])
    found = HypE(torch.full((3,), 2.0))(both, 5, generator=seeded()).indices
    assert found.tolist() == [10, *alone.tolist()]


def test_large_fronts_are_sampled() -> None:
    costs = torch.from_numpy(np.random.default_rng(0).random((3000, 3)))
    costs = costs / costs.norm(dim=1, keepdim=True)
    indices = HypE(n_samples=256)(costs, 2990, generator=seeded()).indices
    assert len(set(indices.tolist())) == 2990


def test_two_objectives_are_never_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = torch.from_numpy(front(12, 2, np.random.default_rng(6)))
    expected = HypE()(costs, 5, generator=seeded()).indices
    monkeypatch.setattr(hype, "_EXACT_WORK", 0)
    assert torch.equal(HypE(n_samples=1)(costs, 5, generator=seeded()).indices, expected)


@pytest.mark.parametrize("k", [300, 460])
def test_near_cells_alone_leave_the_same_rows(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(k)
    rows = np.abs(random.standard_normal((900, 2)))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows[random.integers(0, 900, 500)]  # equal ones among them
    given = torch.from_numpy(rows), torch.full((2,), 1.1, dtype=torch.float64)
    expected = kept_exactly(*given, k)
    narrow: list[int] = []

    def spied(rows: Tensor, reference: Tensor, weight: Tensor) -> Tensor:
        narrow.append(int(weight.numel() <= len(rows)))
        return exact_losses(rows, reference, weight)

    monkeypatch.setattr(hype, "exact_losses", spied)
    monkeypatch.setattr(hype, "_EXACT_WORK", 0)
    assert torch.equal(kept_exactly(*given, k), expected)
    assert sum(narrow) >= 40


def test_the_largest_fronts_of_two_objectives_are_sampled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    costs = torch.from_numpy(front(40, 2, np.random.default_rng(7)))
    monkeypatch.setattr(hype, "_EXACT_WORK", 0)
    monkeypatch.setattr(hype, "_NEAR_WORK", 0)
    monkeypatch.setattr(hype, "kept_exactly", None)  # not called
    indices = HypE(n_samples=256)(costs, 30, generator=seeded()).indices
    assert len(set(indices.tolist())) == 30


def test_a_reference_may_carry_a_gradient() -> None:
    costs = torch.from_numpy(np.random.default_rng(0).random((40, 3)))
    reference = torch.full((3,), 0.9)
    expected = HypE(reference)(costs, 15, generator=seeded()).indices
    selection = HypE(reference.clone().requires_grad_())
    assert not selection._scaled(costs, 15)[0].requires_grad
    assert torch.equal(selection(costs, 15, generator=seeded()).indices, expected)


@pytest.mark.parametrize(("m", "n"), [(2, 20), (3, 24)])
def test_improves_the_hypervolume_of_dtlz2(m: int, n: int) -> None:
    reference = torch.full((m,), 1.1, dtype=torch.float64)

    def volume(selection: Selection, generations: int) -> float:
        costs = evolved(selection, m, n, generations, seed=0)
        return float(hypervolume(torch.from_numpy(costs), reference))

    early, late = volume(HypE(), 5), volume(HypE(), 80)
    assert late > early + 0.1
    assert late > volume(NSGA2(), 80) + 0.02
    best = {2: 1.21 - np.pi / 4, 3: 1.331 - np.pi / 6}[m]  # of the whole sphere
    assert late > 0.75 * best


def test_remembers_nothing() -> None:
    assert HypE()(torch.rand(4, 2), 2, state="what", generator=seeded()).state is None


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"Truncation\(\)"):
        HypE()(torch.zeros((4, 1)), 2, generator=seeded())
    with pytest.raises(ValueError, match="for 2 objectives"):
        HypE(torch.ones(2))(torch.zeros((4, 3)), 2, generator=seeded())
    for reference, says in [
        (torch.ones((1, 2)), r"\(1, 2\)"),
        ([1.0, 1.0], "list"),
        (torch.ones(2, dtype=torch.int64), "int64"),
        (torch.ones(2).to(torch.float8_e4m3fn), "float8_e4m3fn"),
        (torch.tensor([1.0, torch.nan]), "nan"),
    ]:
        with pytest.raises(ValueError, match=says):
            HypE(reference)  # type: ignore[arg-type]
    for n_samples in (0, 2.0, True):
        with pytest.raises(ValueError, match="n_samples"):
            HypE(n_samples=n_samples)  # type: ignore[arg-type]
