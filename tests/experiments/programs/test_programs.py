"""Start programs: they are programs with regions, and those that classify keep the contract."""

from pathlib import Path

import numpy as np
import pytest

from evolve.genomes.program.program import Program
from fitness.harness import Classification, Data
from fitness.sandbox import Limits

FOLDER = Path(__file__).resolve().parents[3] / "experiments" / "programs"
REGIONS = ("network", "optimiser", "schedule", "augment")


def sample(shape: tuple[int, ...], dtype: type) -> Data:
    rng = np.random.default_rng(0)
    images = (rng.random((20, *shape)) * (255 if dtype is np.uint8 else 1)).astype(dtype)
    return Data(images, np.arange(20) % 10, images[:12], np.arange(12) % 10)


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "parameters"),
    [
        ("digits", (1, 8, 8), np.float32, range(2_000, 2_100)),
        ("fashion", (1, 28, 28), np.float32, range(12_000, 13_000)),
        ("cifar", (3, 32, 32), np.uint8, range(380_000, 390_000)),
    ],
)
def test_a_program_that_classifies(
    name: str, shape: tuple[int, ...], dtype: type, parameters: range
) -> None:
    start = Program.read(FOLDER / f"{name}.py")
    assert set(REGIONS) <= set(start.regions)
    fitness = Classification(start, sample(shape, dtype), rungs=(1,), limits=Limits(seconds=60))
    (score,) = fitness.evaluate([start], 0, 1)
    assert score.error is None, score.notes.get("detail")
    assert score.values[1] in parameters


def test_the_circles_have_three_regions() -> None:
    assert [*Program.read(FOLDER / "circles.py").regions] == ["centres", "radii", "refine"]
