from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from operators.selection import contribution
from operators.selection.contribution import exact_losses, loss_weights, reach, sampled
from tests.contracts.selection import seeded
from tests.oracles import hypervolume

CPU = torch.device("cpu")


def front(n: int, m: int, random: np.random.Generator, steps: int = 0) -> np.ndarray:
    """(n, m) in [0, 1], none dominating another; with `steps`, full of ties and equal rows."""
    rows: list[np.ndarray] = []
    while len(rows) < n:
        row = random.integers(0, steps, m) / steps if steps else random.random(m)
        if not any(
            np.any(a < b) and np.all(a <= b) for r in rows for a, b in ((r, row), (row, r))
        ):
            rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize(("n", "k"), [(2, 1), (5, 1), (5, 3), (9, 8)])
def test_weights_are_those_of_the_paper(n: int, k: int) -> None:
    expected = [0.0]
    for i in range(1, n + 1):
        alpha = math.prod((k - j) / (n - j) for j in range(1, i))
        expected.append(alpha / i if i <= k else 0.0)
    assert loss_weights(n, k, CPU).tolist() == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("steps", [0, 4])
def test_exact_losses_equal_the_mean_over_every_removal(m: int, steps: int) -> None:
    random = np.random.default_rng(m)
    for _ in range(60):
        n = int(random.integers(2, 7))
        k = int(random.integers(1, n))
        rows, reference = front(n, m, random, steps), np.full(m, 1.0 + random.integers(0, 2) / 8)
        expected = hypervolume.expected_losses(rows, reference, k)
        weight = loss_weights(n, k, CPU)
        found = exact_losses(torch.from_numpy(rows), torch.from_numpy(reference), weight)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("n", "k"), [(2, 1), (9, 8), (400, 3), (400, 200), (4000, 3000)])
def test_reach_is_where_weights_become_nothing(n: int, k: int) -> None:
    weight, width = loss_weights(n, k, CPU), reach(n, k)
    assert 1 <= width <= k
    assert float(weight[1 : width + 1].min()) >= 1e-18
    assert not bool((weight[width + 1 :] >= 1e-18).any())


@pytest.mark.parametrize(("n", "k"), [(300, 1), (300, 20), (300, 200), (900, 400)])
@pytest.mark.parametrize("held", [1, 1 << 18])
def test_near_stairs_equal_all_stairs(
    n: int, k: int, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = torch.from_numpy(np.abs(np.random.default_rng(n).standard_normal((n, 2))))
    rows = rows / rows.norm(dim=1, keepdim=True)
    rows[n // 2] = rows[n // 3]
    reference, weight = torch.full((2,), 1.1, dtype=torch.float64), loss_weights(n, k, CPU)
    expected = exact_losses(rows, reference, weight)
    monkeypatch.setattr(contribution, "_TILE", held)
    found = exact_losses(rows, reference, weight[: reach(n, k) + 1])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize(("n", "m"), [(700, 2), (90, 3)])
def test_exact_losses_over_many_tiles(n: int, m: int) -> None:
    """The last to go takes just what it adds: the sum over rows of all that one row dominates."""
    random = np.random.default_rng(n)
    rows = torch.from_numpy(np.abs(random.standard_normal((n, m))))
    rows = rows / rows.norm(dim=1, keepdim=True)
    reference = torch.full((m,), 1.1, dtype=torch.float64)
    moocore = pytest.importorskip("moocore")
    expected = moocore.hv_contributions(rows.numpy(), ref=reference.numpy())
    found = exact_losses(rows, reference, loss_weights(n, 1, CPU))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-15)
    whole = exact_losses(rows, reference, 1 / torch.arange(n + 1.0).double().clamp(min=1))
    volume = moocore.hypervolume(rows.numpy(), ref=reference.numpy())
    assert float(whole.sum()) == pytest.approx(volume, rel=1e-12)


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_sampled_losses_are_unbiased_and_know_their_error(m: int, k: int) -> None:
    random = np.random.default_rng(10 * m + k)
    rows, reference = front(6, m, random), np.full(m, 1.1)
    expected = hypervolume.expected_losses(rows, reference, k)
    given = torch.from_numpy(rows), torch.from_numpy(reference)
    weight = loss_weights(6, k, CPU)
    pools = [sampled(*given, k, 1, 1 << 12, seeded(seed)) for seed in range(60)]
    found = np.array([pool.losses(pool.count, weight).numpy() for pool in pools])
    claimed = np.array([pool.errors(weight).numpy() for pool in pools])
    spread = found.std(0)
    assert (np.abs(found.mean(0) - expected) < 4.5 * spread / math.sqrt(60) + 1e-12).all()
    assert (spread < 1.5 * np.sqrt((claimed**2).mean(0)) + 1e-12).all()  # not claimed too small
    if m > 2:  # with two objectives the boxes of k = 1 leave nothing to chance
        assert float(np.median(claimed.mean(0) / spread)) < 3  # nor much too large


def test_sampled_losses_of_equal_rows() -> None:
    rows = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    reference = torch.tensor([2.0, 2.0], dtype=torch.float64)
    pool = sampled(rows, reference, 1, 1, 1000, seeded())
    losses = pool.losses(pool.count, loss_weights(3, 1, CPU))
    assert losses[:2].tolist() == [0.0, 0.0]
    assert float(losses[2]) == pytest.approx(1.0, abs=0.15)


def test_samples_stop_where_the_border_is_clear() -> None:
    reference = torch.full((2,), 1.1, dtype=torch.float64)
    clear = torch.tensor([[0.0, 1.0], [0.5, 0.2], [0.501, 0.1999]], dtype=torch.float64)
    doubtful = torch.tensor([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]], dtype=torch.float64)
    few = sampled(clear, reference, 1, 1, 1 << 12, seeded()).count.numel()
    many = sampled(doubtful, reference, 1, 1, 1 << 12, seeded()).count.numel()
    assert few <= 1 << 9
    assert few < many <= 1 << 12


def test_nothing_to_sample() -> None:
    """Rows on the reference dominate nothing; no objective has a width there."""
    rows = torch.ones((5, 4), dtype=torch.float64)
    pool = sampled(rows, rows[0], 2, 1, 100, seeded())
    assert pool.count.numel() == 0
    assert pool.losses(pool.count, loss_weights(5, 2, CPU)).tolist() == [0.0] * 5
