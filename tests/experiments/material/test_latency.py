from pathlib import Path

import pytest

from evolve.genomes.compression.anatomy import Anatomy
from experiments.material.latency import latencies
from fitness.divergence.latency import Latencies
from tests.evolve.genomes.compression.families import write


def test_a_table_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path))
    anatomy = Anatomy.of(write(tmp_path, "llama"))
    first = latencies(anatomy)
    (file,) = (tmp_path / "latency").iterdir()
    assert Latencies.load(file) == first
    monkeypatch.setattr("experiments.material.latency.measured", None)
    assert latencies(anatomy) == first
