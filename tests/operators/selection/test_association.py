from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from operators.selection import association, das_dennis, symmetry, two_layer
from operators.selection.association import finder_of, lattice_of, nearest_line
from tests.oracles import niching as oracle


def unit(points: Tensor) -> Tensor:
    directions: Tensor = points / points.norm(dim=1, keepdim=True)
    return directions


def cloud(n: int, m: int, seed: int) -> np.ndarray:
    """Random, spread over scales, on axes and faces, and the origin."""
    random = np.random.default_rng(seed)
    points: np.ndarray = random.random((n, m)) ** random.choice([0.2, 1.0, 5.0], (n, 1))
    points[random.random((n, m)) < 0.15] = 0.0
    points[: n // 10] *= 10.0 ** random.integers(-9, 9, (n // 10, m))
    points[0] = 0.0
    return points


@pytest.mark.parametrize("points", [das_dennis(3, 7), two_layer(3, 5, 2), das_dennis(4, 3)])
def test_trying_equals_the_oracle(points: Tensor) -> None:
    rows = cloud(300, points.shape[1], seed=0)
    line, distance = nearest_line(torch.from_numpy(rows), unit(points))
    assert line.tolist() == [oracle.nearest_line(row, points.numpy()) for row in rows]
    along = unit(points)[line].numpy()
    off = rows - (rows * along).sum(1, keepdims=True) * along
    assert np.allclose(distance.numpy(), np.linalg.norm(off, axis=1))


@pytest.mark.parametrize(
    ("m", "divisions"),
    [(2, 99), (2, 170), (3, 17), (3, 18), (3, 40)],
)
def test_looking_up_equals_trying(m: int, divisions: int) -> None:
    points = das_dennis(m, divisions)
    lattice = lattice_of(points)
    assert lattice is not None
    rows = torch.from_numpy(cloud(4000, m, seed=divisions))
    middles = (points[:-1] + points[1:]) / 2  # as far as can be from a line: ties
    for tried in (rows, points * 3, middles):
        by_trying, distance = nearest_line(tried, unit(points))
        by_lattice, also = nearest_line(tried, unit(points), lattice)
        assert torch.equal(by_lattice, by_trying)
        assert torch.equal(also, distance)


@pytest.mark.parametrize("points", [das_dennis(3, 20), das_dennis(4, 5), das_dennis(2, 4)])
def test_tiles_change_nothing(points: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, lines = torch.from_numpy(cloud(500, points.shape[1], seed=2)), unit(points)
    expected = nearest_line(rows, lines, finder_of(points, lines))[0]
    for held in (1, 1 << 24):  # the smallest there can be, and a GPU's
        monkeypatch.setattr(association, "_TILE", held)
        monkeypatch.setattr(symmetry, "_TILE", held)
        assert torch.equal(nearest_line(rows, lines, finder_of(points, lines))[0], expected)


def test_a_shuffled_lattice_is_one_too() -> None:
    points = das_dennis(3, 20)[torch.randperm(231, generator=torch.Generator().manual_seed(0))]
    lattice = lattice_of(points)
    rows = torch.from_numpy(cloud(500, 3, seed=1))
    looked_up = nearest_line(rows, unit(points), lattice)[0]
    assert lattice is not None
    assert torch.equal(looked_up, nearest_line(rows, unit(points))[0])


@pytest.mark.parametrize(
    "points",
    [
        das_dennis(3, 12),  # too few to pay
        das_dennis(3, 20)[1:],
        torch.cat([das_dennis(3, 20)[1:], das_dennis(3, 20)[-1:]]),  # one twice, one missing
        das_dennis(3, 20) * 2,
        das_dennis(3, 20) + 0.01,
        two_layer(3, 20, 5),
    ],
)
def test_no_lattice_is_found_where_none_is_or_none_pays(points: Tensor) -> None:
    assert lattice_of(points) is None


def test_ties_go_to_the_lowest_index() -> None:
    directions = unit(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64))
    rows = torch.tensor([[1.0, 1.0], [2.0, 1e-14], [1.0, 1.0 + 1e-9]], dtype=torch.float64)
    assert nearest_line(rows, directions)[0].tolist() == [0, 0, 1]


@pytest.mark.parametrize("m", [2, 3])
def test_what_is_nearly_the_origin_belongs_to_line_0(m: int) -> None:
    points = das_dennis(m, {2: 170, 3: 30}[m])
    exponents = torch.from_numpy(np.random.default_rng(m).uniform(-300, -90, (500, m)))
    rows = 10.0**exponents
    found = nearest_line(rows, unit(points), lattice_of(points))[0]
    assert torch.equal(found, nearest_line(rows, unit(points))[0])
    assert found[rows.amax(1) < 1e-101].tolist().count(0) == int((rows.amax(1) < 1e-101).sum())
