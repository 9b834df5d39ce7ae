from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from operators.selection import das_dennis, two_layer
from operators.selection.association import Lattice, finder_of, nearest_line
from operators.selection.symmetry import Symmetry, symmetry_of


def unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=1, keepdim=True)


SETS = [
    das_dennis(2, 7),
    das_dennis(3, 12),
    das_dennis(4, 9),
    das_dennis(5, 6),
    das_dennis(5, 14),
    das_dennis(8, 3),
    two_layer(3, 5, 2),
    two_layer(8, 3, 2),
]


@pytest.mark.parametrize("points", SETS, ids=lambda points: str(tuple(points.shape)))
def test_sorting_equals_trying(points: Tensor) -> None:
    m = points.shape[1]
    symmetry = symmetry_of(points, unit(points))
    assert symmetry is not None
    random = np.random.default_rng(m)
    plain = torch.from_numpy(random.random((3000, m)))
    coarse = torch.from_numpy(random.integers(0, 5, (3000, m)).astype(np.float64))
    nearly = coarse + torch.from_numpy(random.choice([0.0, 1e-10, 1e-12, 1e-15], (3000, m)))
    middles = (points[:-1] + points[1:]) / 2
    for rows in (plain, coarse, nearly, points * 3, middles, torch.zeros((2, m)).double()):
        line, distance = nearest_line(rows, unit(points))
        found, also = nearest_line(rows, unit(points), symmetry)
        assert torch.equal(found, line)
        assert torch.equal(also, distance)


def test_few_rows_are_in_doubt() -> None:
    symmetry = symmetry_of(das_dennis(5, 6), unit(das_dennis(5, 6)))
    assert symmetry is not None
    rows = torch.from_numpy(np.random.default_rng(0).random((2000, 5)))
    rows[::3, 2:] = 0  # equal coordinates are no doubt
    _, doubt = symmetry.nearest(unit(rows))
    assert int(doubt.sum()) == 0


@pytest.mark.parametrize(
    "points",
    [
        das_dennis(4, 5)[1:],  # an order is missing
        torch.cat([das_dennis(4, 5), das_dennis(4, 5)[-1:]]),  # one is there twice
        das_dennis(4, 5).flip(0),  # the lowest line of a tie would not be found
        torch.rand((50, 4), dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
        torch.rand((50, 40), dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
    ],
)
def test_no_symmetry_is_found_where_none_is(points: Tensor) -> None:
    assert symmetry_of(points, unit(points)) is None


def test_many_objectives_are_sorted_for() -> None:
    for points, kind in ((das_dennis(5, 6), Symmetry), (das_dennis(3, 20), Lattice)):
        assert isinstance(finder_of(points, unit(points)), kind)
        assert isinstance(finder_of(points * 7, unit(points)), kind)
    one_cluster = torch.eye(4, dtype=torch.float64).flip(0) * 1e-8 + torch.rand(
        (4, 4), dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    assert finder_of(one_cluster, unit(one_cluster)) is None
