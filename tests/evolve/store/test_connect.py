"""Who may open a ledger: readers need no permission to write, and change nothing."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from evolve.errors import StoreError
from evolve.store.connect import connect, explained
from evolve.store.ledger import Ledger


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A closed run in a folder whose name a URI has to quote."""
    Ledger.create(tmp_path / "a run? 100%", {"name": "x"}).close()
    return tmp_path / "a run? 100%"


def name(folder: Path) -> object:
    with closing(Ledger.open(folder, write=False)) as ledger:
        return ledger.facts["name"]


def unwritable(place: object, mode: int) -> bool:
    return mode != os.W_OK


def test_a_reader_leaves_nothing_behind(folder: Path) -> None:
    before = sorted(folder.iterdir())
    assert name(folder) == "x"
    assert sorted(folder.iterdir()) == before


def test_without_permission_to_write_nothing_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", unwritable)
    found = connect(folder, write=False)
    with closing(found), pytest.raises(sqlite3.OperationalError, match="readonly"):
        found.execute("DELETE FROM run")


def test_a_folder_that_cannot_be_written_is_read_as_it_lies(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", unwritable)
    before = sorted(folder.iterdir())
    assert name(folder) == "x"
    assert sorted(folder.iterdir()) == before, "neither log nor index was made"


def test_a_live_run_is_read_up_to_now_even_without_permission_to_write(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", unwritable)
    with closing(Ledger.open(folder, write=True)) as writer:
        for now in ("y", "z"):
            writer.set_fact("name", now)  # lies in the log
            assert name(folder) == now
    assert name(folder) == "z"


@pytest.mark.parametrize(("write", "words"), [(True, "Cannot write to"), (False, "Cannot read")])
def test_what_could_not_be_done_is_said(tmp_path: Path, write: bool, words: str) -> None:
    (tmp_path / "ledger.sqlite").mkdir()
    said = pytest.raises(StoreError, match=f"{words} the ledger in {tmp_path}")
    with said, explained(tmp_path, write=write):
        connect(tmp_path, write=write).execute("SELECT 1 FROM run")
