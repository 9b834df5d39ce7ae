from __future__ import annotations

import numpy as np
import pytest

from evolve.errors import GenomeError
from evolve.genomes.vector import Box, Vector
from tests.contracts.genome import VectorLikeContract


class TestVector(VectorLikeContract):
    @pytest.fixture
    def genomes(self) -> list[Vector]:
        box = Box.of([-1, 0, 2], [1, 0, 5], 3)
        rng = np.random.default_rng(0)
        return [Vector.random(box, rng), Vector.random(box, rng)]


def test_a_vector_expresses_its_values() -> None:
    vector = Vector(np.array([0.25, 1.0]), Box.of(0, 1, 2))
    assert (vector.express() == [0.25, 1.0]).all()


def test_at_clips_to_the_nearest_point() -> None:
    vector = Vector(np.zeros(3), Box.of(-1, [1, 2, 3], 3))
    assert (vector.at(np.array([9, 0.5, -9])).values == [1, 0.5, -1]).all()


def test_draws_fill_the_box() -> None:
    box = Box.of([-3, 10], [-2, 20], 2)
    rng = np.random.default_rng(0)
    drawn = np.array([box.draw(rng) for _ in range(200)])
    assert (drawn.min(0) < [-2.9, 11]).all()
    assert (drawn.max(0) > [-2.1, 19]).all()
    assert (drawn == [box.clip(row) for row in drawn]).all()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.zeros(2), r"\(2,\) values, its box \(3,\) genes"),
        (np.array([0, np.nan, 0]), "NaN or infinite"),
    ],
)
def test_a_vector_off_its_box_is_refused(values: np.ndarray, text: str) -> None:
    with pytest.raises(GenomeError, match=text):
        Vector(values, Box.of(0, 1, 3))


@pytest.mark.parametrize(("low", "high"), [(1, 0), (0, np.inf), (np.nan, 1)])
def test_a_box_without_inside_is_refused(low: float, high: float) -> None:
    with pytest.raises(GenomeError, match="finite bounds"):
        Box.of(low, high, 2)


def test_box_arrays_must_agree() -> None:
    with pytest.raises(GenomeError, match="one number a gene"):
        Box(np.zeros(2), np.ones(3), np.arange(2))
