from __future__ import annotations

from pathlib import Path

import pytest

from tests.evolve.genomes.checkpoints import write_family

Family = tuple[Path, list[Path]]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read from, or left in, the user's cache."""
    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    """Tied, bfloat16, embeddings frozen."""
    return write_family(tmp_path_factory.mktemp("family"))


@pytest.fixture(scope="session")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Family:
    """Untied, float32, everything moved."""
    folder = tmp_path_factory.mktemp("untied")
    return write_family(folder, tied=False, dtype="float32", frozen="")
