from __future__ import annotations

import math
from importlib import import_module

import numpy as np
import pytest
import torch

from operators.selection.nsga3 import NSGA3
from operators.selection.reference import das_dennis
from operators.selection.riesz import log_energy, riesz

module = import_module("operators.selection.riesz")  # the package has the function there


@pytest.mark.parametrize(("m", "n"), [(2, 2), (2, 9), (3, 3), (3, 50), (5, 41), (8, 30), (20, 60)])
def test_points_of_the_simplex_with_its_corners(m: int, n: int) -> None:
    points = riesz(m, n, steps=50)
    assert points.shape == (n, m)
    assert points.dtype == torch.float64
    assert float(points.min()) >= 0
    assert float((points.sum(1) - 1).abs().max()) < 1e-14
    for axis in torch.eye(m, dtype=torch.float64):
        assert int((points == axis).all(1).sum()) == 1
    if n > m:
        assert float(torch.pdist(points).min()) > 0.3 / n ** (1 / (m - 1))
    assert points.tolist() == sorted(points.tolist())
    assert NSGA3(points).points is points


@pytest.mark.parametrize("m", [2, 3, 4, 6])
def test_one_more_than_the_corners_is_the_centre(m: int) -> None:
    points = riesz(m, m + 1)
    inside = points[points.amax(1) < 1]
    assert torch.allclose(inside, torch.full((1, m), 1 / m, dtype=torch.float64), atol=1e-6)


def test_three_points_on_a_line_are_even() -> None:
    assert riesz(2, 3)[1].tolist() == pytest.approx([0.5, 0.5])
    ends = riesz(2, 4)[:, 0]  # symmetric, and the least energy of one number
    assert float(ends[1] + ends[2]) == pytest.approx(1, abs=1e-6)
    grid = torch.linspace(0.2, 0.45, 5001, dtype=torch.float64)
    energies = [2 * x**-4 + 2 * (1 - x) ** -4 + (1 - 2 * x) ** -4 for x in grid.tolist()]
    best = float(grid[int(np.argmin(energies))])
    assert float(ends[1]) == pytest.approx(best, abs=1e-3)


def test_log_energy_is_that_of_the_definition() -> None:
    points = riesz(3, 12, steps=0)
    pairs = torch.pdist(points)
    assert log_energy(points) == pytest.approx(math.log(float((pairs**-9).sum())))


@pytest.mark.parametrize("tile", [1, 100])
def test_the_tile_does_not_matter(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    points = riesz(4, 30, steps=0)
    whole = module._field(points, 16.0)
    monkeypatch.setattr(module, "_TILE", tile)
    parts = module._field(points, 16.0)
    assert parts.log_energy == pytest.approx(whole.log_energy, rel=1e-12)
    assert torch.allclose(parts.push, whole.push, rtol=1e-9, atol=1e-12)


def test_pushes_are_the_gradient_over_its_weights() -> None:
    points = riesz(3, 10, steps=0).requires_grad_()
    energy = (torch.pdist(points) ** -9.0).sum()
    (gradient,) = torch.autograd.grad(energy, points)
    points = points.detach()
    apart = torch.cdist(points, points).fill_diagonal_(torch.inf)
    expected = -gradient / (9 * (apart**-11.0).sum(1, keepdim=True))
    assert torch.allclose(module._field(points, 9.0).push, expected, rtol=1e-6, atol=1e-9)


def test_no_worse_than_das_dennis_at_its_sizes() -> None:
    for m, divisions in ((3, 12), (4, 5), (5, 3)):
        lattice = das_dennis(m, divisions)
        points = riesz(m, len(lattice), steps=50)
        assert log_energy(points) <= log_energy(lattice) + 1e-9


def test_more_even_than_pymoo() -> None:
    """The energy method of pymoo 0.6.2, seed 1, has these log energies and least distances."""
    for m, n, energy, distance in ((3, 50, 21.158, 0.1470), (5, 200, 43.714, 0.1924)):
        points = riesz(m, n)
        assert log_energy(points) < energy
        assert float(torch.pdist(points).min()) > distance


def test_more_steps_lower_the_energy() -> None:
    energies = [log_energy(riesz(4, 40, steps=steps)) for steps in (0, 50, 400)]
    assert energies[0] >= energies[1] >= energies[2]


def test_same_seed_same_bits_and_no_global_generator() -> None:
    before = torch.get_rng_state()
    one, other = riesz(4, 25, seed=3), riesz(4, 25, seed=3)
    assert torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(one, riesz(4, 25, seed=4))


@pytest.mark.parametrize("point", [[0.2, 0.3, 0.5], [2.0, -1.0, 0.4], [0.1, 0.1, 0.1], [9, 9, 0]])
def test_the_projection_is_the_nearest_point(point: list[float]) -> None:
    row = torch.tensor([point], dtype=torch.float64)
    found = module._on_simplex(row)
    assert float(found.sum()) == pytest.approx(1)
    fine = das_dennis(3, 100)
    assert float((found - row).norm()) <= float((fine - row).norm(dim=1).min()) + 1e-12


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"Truncation\(\)"):
        riesz(1, 5)
    with pytest.raises(ValueError, match="n_points=2 for 3 objectives"):
        riesz(3, 2)
    with pytest.raises(ValueError, match="das_dennis"):
        riesz(3, 20_001)
    with pytest.raises(ValueError, match="steps=-1"):
        riesz(3, 5, steps=-1)
    for number in (True, 10.5, "10", None):
        with pytest.raises(ValueError, match=f"n_objectives={number!r}, expected an int"):
            riesz(number, 50)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=f"n_points={number!r}.* expected an int"):
            riesz(3, number)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=f"steps={number!r}, expected an int"):
            riesz(3, 5, steps=number)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=f"seed={number!r}, expected an int"):
            riesz(3, 5, seed=number)  # type: ignore[arg-type]
