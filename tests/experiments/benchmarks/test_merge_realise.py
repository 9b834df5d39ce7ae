from __future__ import annotations

from pathlib import Path

import pytest

from evolve.genomes.checkpoint import Source
from experiments.benchmarks.merge_realise import perturbed, table
from tests.evolve.genomes.checkpoints import write_family


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path / "cache"))


@pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")  # in mergekit
def test_the_table_has_a_row_a_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, experts = write_family(tmp_path)
    table("tiny", base, experts, 1, tmp_path)
    title, _, linear, ties, dare = capsys.readouterr().out.strip().splitlines()
    assert title.startswith("tiny")
    assert linear.startswith("linear")
    assert "within" in linear
    assert "equal bits" in ties
    assert "own masks" in dare


def test_perturbed_models_move_everywhere(tmp_path: Path) -> None:
    base, _ = write_family(tmp_path, n=0)
    moved = perturbed(base, tmp_path / "moved", 0)
    ours, theirs = (dict(s.tensors(s.entries)) for s in (Source.of(base), Source.of(moved)))
    assert all(bool((ours[name] != theirs[name]).any()) for name in ours)
