import math

import pytest

from experiments.circle_packing import N, packing, start, verified

GRID = [[(i % 6 + 0.5) / 6, (i // 6 + 0.5) / 6, 0.08] for i in range(N)]


def changed(i: int, *row: object) -> list[list[object]]:
    return [list(row) if j == i else list(each) for j, each in enumerate(GRID)]


def test_the_sum_of_radii() -> None:
    assert verified(GRID) == {"sum of radii": pytest.approx(26 * 0.08)}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (GRID[:25], "expected 26 rows"),
        (None, "expected 26 rows"),
        ({"x": GRID}, "expected 26 rows"),
        (changed(3, 0.5, 0.5), "expected a row x, y, radius"),
        (changed(3, math.nan, 0.5, 0.01), "expected finite floats"),
        (changed(3, 0.5, 0.5, math.inf), "expected finite floats"),
        (changed(3, 0.5, 0.5, True), "expected finite floats"),
        (changed(0, 1 / 12, 1 / 12, -0.01), "not inside the unit square"),
        (changed(0, 1 / 12, 1 / 12, 0.0), "not inside the unit square"),
        (changed(0, 0.08, 0.05, 0.05 + 1e-12), "not inside the unit square"),
        (changed(1, *GRID[0]), "overlap"),
    ],
)
def test_nothing_else_is_a_packing(value: object, words: str) -> None:
    found = verified(value)
    assert isinstance(found, str)
    assert words in found


def test_touching_is_allowed_and_the_last_bit_more_is_not() -> None:
    pair = [[0.25, 0.5, 0.25], [0.75, 0.5, 0.25]]
    small = [[0.02 + 0.04 * i, 0.02, 0.01] for i in range(24)]
    assert verified(pair + small) == {"sum of radii": pytest.approx(0.5 + 0.24)}
    pair[0][2] = math.nextafter(0.25, 1)
    assert isinstance(verified(pair + small), str)


def test_the_start_program_packs() -> None:
    (score,) = packing.evaluate([start], 0, 1)
    assert score.error is None
    assert 2.4 < score.values[0] < 2.636
