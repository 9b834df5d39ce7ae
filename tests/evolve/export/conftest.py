from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.evolve.export.tiny import write_llama


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Task vectors of these tests, away from the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("EVOLVE_CACHE", str(folder))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield folder


def family(folder: Path, tied: bool) -> list[Path]:
    base = write_llama(folder / "base", 0, tied=tied)
    experts = [write_llama(folder / f"expert{i}", i, start=base, tied=tied) for i in (1, 2, 3)]
    return [base, *experts]


@pytest.fixture(scope="session")
def tied(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Base and three experts with tied embeddings."""
    return family(tmp_path_factory.mktemp("tied"), tied=True)


@pytest.fixture(scope="session")
def untied(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Base and three experts with their own heads."""
    return family(tmp_path_factory.mktemp("untied"), tied=False)
