from __future__ import annotations

import itertools
import math

import pytest
import torch

from operators.selection import das_dennis, divisions_for, two_layer


@pytest.mark.parametrize(("m", "divisions"), [(2, 1), (2, 99), (3, 12), (4, 5), (5, 6), (8, 3)])
def test_das_dennis_is_every_composition_in_order(m: int, divisions: int) -> None:
    whole = (
        [row for row in itertools.product(range(divisions + 1), repeat=m) if sum(row) == divisions]
        if (divisions + 1) ** m < 200_000
        else None
    )
    points = das_dennis(m, divisions)
    assert points.dtype == torch.float64
    assert points.shape == (math.comb(divisions + m - 1, m - 1), m)
    assert torch.allclose(points.sum(1), torch.ones(len(points), dtype=torch.float64))
    if whole is not None:
        assert torch.equal(points, torch.tensor(whole, dtype=torch.float64) / divisions)


def test_two_layers_of_the_paper() -> None:
    points = two_layer(8, outer=3, inner=2)
    assert points.shape == (156, 8)  # Deb & Jain 2014, table I
    assert torch.allclose(points.sum(1), torch.ones(156, dtype=torch.float64))
    assert torch.equal(points[:120], das_dennis(8, 3))
    assert float(points[120:].min()) == pytest.approx(1 / 16)


@pytest.mark.parametrize(("m", "outer", "inner"), [(2, 4, 1), (3, 6, 3), (2, 2, 2), (4, 4, 4)])
def test_two_layers_repeat_no_point(m: int, outer: int, inner: int) -> None:
    points = two_layer(m, outer, inner)
    assert float(torch.pdist(points).min()) > 1e-6
    both = torch.cat([das_dennis(m, outer), das_dennis(m, inner) / 2 + 1 / (2 * m)])
    assert float(torch.cdist(both, points).amin(1).max()) < 1e-7  # none is lost


@pytest.mark.parametrize("m", [2, 3, 5, 10])
@pytest.mark.parametrize("n_points", [10, 11, 91, 92, 5000])
def test_divisions_fill_but_do_not_exceed(m: int, n_points: int) -> None:
    divisions = divisions_for(m, n_points)
    assert len(das_dennis(m, divisions)) <= n_points < len(das_dennis(m, divisions + 1))


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"Truncation\(\)"):
        das_dennis(1, 5)
    with pytest.raises(ValueError, match="divisions=0"):
        das_dennis(3, 0)
    with pytest.raises(ValueError, match="two_layer"):
        das_dennis(20, 12)
    with pytest.raises(ValueError, match="divisions=0"):
        two_layer(3, 2, 0)
    with pytest.raises(ValueError, match="n_points=2 for 3 objectives"):
        divisions_for(3, 2)


@pytest.mark.parametrize("number", [True, 5.0, 2.5, "5", None])
def test_refuses_what_is_no_int(number: int) -> None:
    with pytest.raises(ValueError, match=f"divisions={number!r}, expected an int"):
        das_dennis(3, number)
    with pytest.raises(ValueError, match=f"divisions={number!r}, expected an int"):
        two_layer(3, number, 1)
    with pytest.raises(ValueError, match=f"divisions={number!r}, expected an int"):
        two_layer(3, 2, number)
    with pytest.raises(ValueError, match=f"n_points={number!r}.* expected an int"):
        divisions_for(3, number)
    for build in (das_dennis, divisions_for):
        with pytest.raises(ValueError, match=f"n_objectives={number!r}, expected an int"):
            build(number, 9)
