from pathlib import Path

import pytest

from tests.fitness.tiny import Shifted, save_llama


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a tiny Llama with tied embeddings."""
    return save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def shifted(llama: Path) -> list[Shifted]:
    """Three genomes of it, the first the model itself in bfloat16."""
    return [Shifted(str(llama), shift) for shift in (0.0, 0.01, 0.2)]
