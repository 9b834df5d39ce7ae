from __future__ import annotations

import pytest
import torch

from operators.selection.choose import reference_points
from operators.selection.nsga3 import NSGA3
from operators.selection.reference import das_dennis, two_layer
from operators.selection.riesz import riesz


@pytest.mark.parametrize(
    ("n", "m", "expected", "what"),
    [
        (92, 3, das_dennis(3, 12), "91 reference points for 92 individuals, 3 objectives: "
         "Das-Dennis, 12 divisions"),
        (212, 5, das_dennis(5, 6), "210 reference points for 212 individuals, 5 objectives: "
         "Das-Dennis, 6 divisions"),
        (156, 8, two_layer(8, 3, 2), "156 reference points for 156 individuals, 8 objectives: "
         "Das-Dennis in two layers, 3 and 2 divisions"),
        (276, 10, two_layer(10, 3, 2), "275 reference points for 276 individuals, 10 objectives: "
         "Das-Dennis in two layers, 3 and 2 divisions"),
        (136, 15, two_layer(15, 2, 1), "135 reference points for 136 individuals, 15 objectives: "
         "Das-Dennis in two layers, 2 and 1 divisions"),
        (3, 3, das_dennis(3, 1), "3 reference points for 3 individuals, 3 objectives: "
         "Das-Dennis, 1 division"),
        (30, 5, riesz(5, 30), "30 reference points for 30 individuals, 5 objectives: "
         "Riesz s-energy, seed 0"),
    ],
)  # fmt: skip
def test_the_published_settings(
    n: int, m: int, expected: torch.Tensor, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Deb & Jain 2014, table I, and the edges of the rule."""
    points = reference_points(n, m)
    assert torch.equal(points, expected)
    assert capsys.readouterr().out == what + "\n"


@pytest.mark.parametrize("m", [2, 3, 4, 7, 12])
def test_never_more_than_individuals_and_seldom_far_fewer(m: int) -> None:
    for n in (m, m + 1, 2 * m, 2 * m + 1, 5 * m, 60, 101):
        points = reference_points(n, m)
        assert 0.8 * n <= len(points) <= n
        NSGA3(points)


def test_large_populations_get_a_lattice_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(reference_points(3000, 5)) == 2380  # the next has 3060
    assert len(reference_points(50_000, 2)) == 50_000
    assert len(reference_points(6000, 8)) > 0.8 * 6000
    assert "13 divisions" in capsys.readouterr().out


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"Truncation\(\)"):
        reference_points(100, 1)
    with pytest.raises(ValueError, match="n_individuals=4 for 5 objectives"):
        reference_points(4, 5)
    for number in (True, 92.0, None):
        with pytest.raises(ValueError, match=f"n_individuals={number!r}.* expected an int"):
            reference_points(number, 3)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=f"n_objectives={number!r}, expected an int"):
            reference_points(92, number)  # type: ignore[arg-type]
