from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from operators.selection import indicators
from operators.selection.indicators import gd, hypervolume, igd, igd_plus
from tests.contracts.selection import seeded
from tests.operators.selection.test_contribution import front as cut_front
from tests.oracles import hypervolume as oracle

DISTANCES = [igd, igd_plus, gd]


def sets(n: int, r: int, m: int, seed: int) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.normal(size=(n, m))), torch.from_numpy(random.random((r, m)))


def by_hand(points: np.ndarray, front: np.ndarray, plus: bool) -> float:
    nearest = []
    for z in front:
        gaps = [np.maximum(a - z, 0) if plus else a - z for a in points]
        nearest.append(min(math.sqrt(sum(gap**2)) for gap in gaps))
    return sum(nearest) / len(nearest)


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_distances_equal_the_definition(m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indicators, "_TILE", 50)
    for seed in range(20):
        points, front = sets(1 + seed, 13, m, seed)
        a, z = points.numpy(), front.numpy()
        assert float(igd(points, front)) == pytest.approx(by_hand(a, z, False), rel=1e-12)
        assert float(igd_plus(points, front)) == pytest.approx(by_hand(a, z, True), rel=1e-12)
        assert float(gd(points, front)) == pytest.approx(by_hand(z, a, False), rel=1e-12)


def test_distances_and_volume_equal_moocore() -> None:
    moocore = pytest.importorskip("moocore")
    for seed in range(20):
        points, front = sets(40, 70, 2 + seed % 4, seed)
        a, z = points.numpy(), front.numpy()
        assert float(igd(points, front)) == pytest.approx(moocore.igd(a, ref=z), rel=1e-12)
        plus = moocore.igd_plus(a, ref=z)
        assert float(igd_plus(points, front)) == pytest.approx(plus, rel=1e-12)
        end = torch.full((a.shape[1],), 1.5, dtype=torch.float64)
        volume = moocore.hypervolume(a, ref=end.numpy())
        assert float(hypervolume(points, end)) == pytest.approx(volume, rel=1e-12)


def test_distances_equal_pymoo() -> None:
    pymoo = pytest.importorskip("pymoo.indicators.gd")
    points, front = sets(40, 70, 3, 0)
    expected = float(pymoo.GD(front.numpy())(points.numpy()))
    assert float(gd(points, front)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
@pytest.mark.parametrize("distance", DISTANCES)
def test_distances_at_any_scale(distance: object, scale: float) -> None:
    assert callable(distance)
    points, front = sets(10, 10, 3, 0)
    expected = float(distance(points, front))
    found = float(distance(points * scale, front * scale))
    assert found / scale == pytest.approx(expected, rel=1e-12)


def test_what_is_zero() -> None:
    points, front = sets(10, 12, 3, 0)
    found = torch.cat([front, points])
    assert float(igd(found, front)) == 0.0
    assert float(gd(front[:1], front)) == 0.0
    assert float(igd_plus(front - 1.0, front)) == 0.0
    assert float(igd(torch.zeros((3, 2)), torch.zeros((1, 2)))) == 0.0


def test_float32_is_measured_in_float64() -> None:
    points, front = (each.float() for each in sets(10, 12, 3, 0))
    assert igd(points, front).dtype == torch.float64
    assert torch.equal(igd(points, front), igd(points.double(), front))


def test_exact_volume_equals_inclusion_and_exclusion() -> None:
    for seed in range(60):
        random = np.random.default_rng(seed)
        m = 1 + seed % 5
        points = random.integers(0, 6, (int(random.integers(1, 8)), m)) / 4
        end = np.full(m, 1.0 + random.random() / 4)  # some rows lie beyond it
        expected = oracle.hypervolume(points[(points < end).all(1)], end)
        found = hypervolume(torch.from_numpy(points), torch.from_numpy(end))
        assert float(found) == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_estimated_volume_is_within_its_standard_error(
    m: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indicators, "_TILE", 1000)  # many tiles, the last one short
    random = np.random.default_rng(m)
    points, end = cut_front(7, m, random), np.full(m, 1.1)
    exact, box = oracle.hypervolume(points, end), float((end - points.min(0)).prod())
    n_samples = 2010
    found = [
        float(
            hypervolume(
                torch.from_numpy(points),
                torch.from_numpy(end),
                n_samples=n_samples,
                generator=seeded(seed),
            )
        )
        for seed in range(50)
    ]
    share = exact / box
    error = box * math.sqrt(share * (1 - share) / n_samples)
    assert abs(np.mean(found) - exact) < 4 * error / math.sqrt(50)
    assert 0.7 < np.std(found) / error < 1.3
    assert len(set(found)) > 1


def test_no_volume() -> None:
    end = torch.ones(3)
    for points in (torch.zeros((0, 3)), torch.full((4, 3), 2.0)):
        assert float(hypervolume(points, end)) == 0.0
        assert float(hypervolume(points, end, n_samples=9, generator=seeded())) == 0.0


def test_a_missing_moocore_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moocore", None)
    points, end = torch.rand((4, 3)), torch.ones(3)
    with pytest.raises(ImportError, match="pip install moocore"):
        hypervolume(points, end)
    assert float(hypervolume(points, end, n_samples=100, generator=seeded())) > 0


@pytest.mark.parametrize("distance", DISTANCES)
def test_distances_refuse(distance: object) -> None:
    assert callable(distance)
    points, front = sets(4, 5, 3, 0)
    for bad in (torch.nan, torch.inf):
        broken = points.clone()
        broken[1, 2] = bad
        with pytest.raises(ValueError, match="NaN or an infinity in 1 rows"):
            distance(broken, front)
        with pytest.raises(ValueError, match="NaN or an infinity in 1 rows"):
            distance(front, broken)
    with pytest.raises(ValueError, match="as many objectives"):
        distance(points, front[:, :2])
    with pytest.raises(ValueError, match="meta"):
        distance(points, torch.zeros((5, 3), device="meta"))
    with pytest.raises(ValueError, match="one row or more"):
        distance(points, front[:0])
    with pytest.raises(ValueError, match="shape"):
        distance(points[0], front)
    with pytest.raises(ValueError, match="float"):
        distance(points.long(), front)


def test_hypervolume_refuses() -> None:
    points, end = torch.rand((4, 3)), torch.ones(3)
    with pytest.raises(ValueError, match="NaN or an infinity in 1 rows"):
        hypervolume(torch.tensor([[0.0, torch.nan, 1.0]]), end)
    with pytest.raises(ValueError, match=r"expected a tensor \(3,\)"):
        hypervolume(points, torch.ones(2))
    with pytest.raises(ValueError, match="float"):
        hypervolume(points, 1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite"):
        hypervolume(points, end * torch.inf)
    with pytest.raises(ValueError, match="no generator"):
        hypervolume(points, end, n_samples=10)
    many = torch.zeros((2, 32)), torch.ones(32)
    with pytest.raises(ValueError, match="32 objectives and no n_samples, expected at most 31"):
        hypervolume(*many)
    assert float(hypervolume(*many, n_samples=10, generator=seeded())) == 1.0
    assert float(hypervolume(many[0][:, 1:], many[1][1:])) == 1.0
    for n_samples in (0, True, 1.5):
        with pytest.raises(ValueError, match="n_samples"):
            hypervolume(points, end, n_samples=n_samples, generator=seeded())  # type: ignore[arg-type]


@pytest.mark.gpu
def test_the_same_on_the_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("NO GPU: indicators on CUDA were not compared with those on the CPU")
    points, front = sets(300, 500, 3, 0)
    for distance in DISTANCES:
        there = distance(points.cuda(), front.cuda())
        assert there.device.type == "cuda"
        assert float(there) == pytest.approx(float(distance(points, front)), rel=1e-12)
    end = torch.full((3,), 1.1, dtype=torch.float64)
    one, other = (
        hypervolume(points.to(at), end.to(at), n_samples=10_000, generator=seeded())
        for at in ("cpu", "cuda")
    )
    assert float(other) == pytest.approx(float(one), rel=1e-12)
    with pytest.raises(ValueError, match="expected points on the CPU"):
        hypervolume(points.cuda(), end.cuda())
