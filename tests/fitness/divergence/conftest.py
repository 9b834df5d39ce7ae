from pathlib import Path

import numpy as np
import pytest

from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ProfileSpace
from tests.evolve.genomes.compression.families import write, write_database

GRID = BitGrid((2, 3, 4), 16, dense=True)


@pytest.fixture(scope="session")
def small_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of 4 blocks."""
    return write(tmp_path_factory.mktemp("divergence") / "llama", "llama", num_hidden_layers=4)


@pytest.fixture(scope="session")
def space(small_llama: Path) -> ProfileSpace:
    """Bits and depth of it."""
    place = write_database(small_llama.with_name("levels"), small_llama, GRID)
    return ProfileSpace.of(small_llama, place, grid=GRID, depth=True)


@pytest.fixture
def profiles(space: ProfileSpace) -> list[CompressionProfile]:
    """A parent, children that differ from it in one unit each, and one of another kind."""
    parent = np.full(len(space.units), 1)
    made = [parent]
    for i in (1, 9, 15):
        made.append(parent.copy())
        made[-1][i] = 2
    masks = np.array([[True, True, False, True], [True, False, False, True]])
    return [
        *(CompressionProfile.at(space, levels) for levels in made),
        CompressionProfile.at(space, parent, *masks),
    ]
