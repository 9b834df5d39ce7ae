"""Where a run may be made, and what a killed attempt at it leaves."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from evolve.errors import StoreError
from evolve.store.ledger import Ledger


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A closed run."""
    Ledger.create(tmp_path / "run", {"name": "x"}).close()
    return tmp_path / "run"


def test_a_run_is_not_overwritten(folder: Path) -> None:
    before = (folder / "ledger.sqlite").read_bytes()
    with pytest.raises(StoreError, match=f"{folder} already holds a run; resume it"):
        Ledger.create(folder, {})
    assert (folder / "ledger.sqlite").read_bytes() == before


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("words")
    with pytest.raises(StoreError, match="exists and is not empty; give another directory"):
        Ledger.create(tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("words")
    for out in (tmp_path / "run", tmp_path / "run" / "deeper"):
        with pytest.raises(StoreError, match=f"Cannot make the run directory {out}"):
            Ledger.create(out, {})


def test_an_empty_folder_and_missing_parents_are_welcome(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "a" / "b" / "c"):
        Ledger.create(out, {}).close()
        Ledger.open(out, write=True).close()


def test_what_a_killed_create_leaves_is_no_obstacle(tmp_path: Path) -> None:
    for name in ("lock", ".ledger.new", ".ledger.new-journal"):
        (tmp_path / name).write_text("half of it")
    Ledger.create(tmp_path, {"name": "x"}).close()
    with closing(Ledger.open(tmp_path, write=False)) as ledger:
        assert ledger.facts["name"] == "x"
    assert not (tmp_path / ".ledger.new").exists()
