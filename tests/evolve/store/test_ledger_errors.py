"""A run directory that exists, is locked, is foreign or truncated; a full disk: nothing lost."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from evolve.errors import StoreError
from evolve.score import Score
from evolve.search.protocol import Proposal
from evolve.store.ledger import Ledger
from evolve.store.schema import FORMAT
from tests.evolve.cases import vector

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A closed run with twenty told births."""
    with closing(Ledger.create(tmp_path / "run", {"name": "x"})) as ledger:
        ledger.begin_epoch({})
        for birth in range(20):
            ledger.born(birth, Proposal(vector(birth / 100)))
            ledger.scored(birth, Score((float(birth),)))
            ledger.committed(birth, birth)
    return tmp_path / "run"


def refused(folder: Path, words: str, *, write: bool = True) -> None:
    """Opening says `words`, twice: what failed holds neither the lock nor the file."""
    for _ in range(2):
        with pytest.raises(StoreError, match=words):
            Ledger.open(folder, write=write)


# --- open ------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [True, False])
def test_what_is_no_run_is_named(tmp_path: Path, write: bool) -> None:
    (tmp_path / "file").write_text("words")
    for place in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        refused(place, f"{place} holds no run", write=write)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("found", [FORMAT + 1, 0, "two", None])
def test_another_format_is_named(folder: Path, found: object) -> None:
    with closing(Ledger.open(folder, write=True)) as ledger:
        ledger.set_fact("format", found)  # type: ignore[arg-type]
    refused(folder, f"has ledger format {found}, this version reads {FORMAT}; use the version")


def test_a_ledger_without_a_format_is_named(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as database, database:
        database.execute("DELETE FROM run WHERE key = 'format'")
    refused(folder, "has ledger format None")


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.03, 0.1, 0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("write", [True, False])
def test_a_truncated_file_is_named(folder: Path, keep: float, write: bool) -> None:
    file = folder / "ledger.sqlite"
    file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])
    refused(folder, "is damaged or truncated .* restore ledger.sqlite", write=write)


def test_a_file_of_noise_is_named(folder: Path) -> None:
    (folder / "ledger.sqlite").write_bytes(np.random.default_rng(0).bytes(100_000))
    refused(folder, "damaged or truncated")


HOLD = """
import sys
from pathlib import Path
from evolve.store.ledger import Ledger
ledger = Ledger.open(Path(sys.argv[1]), write=True)
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A second process that writes the run at `folder`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, text=True,
        stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_live_run_is_locked_but_readable_and_free_once_it_is_killed(
    folder: Path, holder: subprocess.Popen[str]
) -> None:
    refused(folder, rf"is being written by a live run \(process {holder.pid} on .*\); wait for it")
    with closing(Ledger.open(folder, write=False)) as ledger:
        assert ledger.births() == 20
    with pytest.raises(StoreError, match="already holds a run"):
        Ledger.create(folder, {})
    holder.kill()
    holder.wait()
    with closing(Ledger.open(folder, write=True)) as ledger:
        assert len(ledger.records()) == 20


def test_the_lock_holds_within_a_process_too(folder: Path) -> None:
    with closing(Ledger.open(folder, write=True)):
        refused(folder, f"live run \\(process {os.getpid()} on")
    Ledger.open(folder, write=True).close()


# --- a full disk -----------------------------------------------------------------------------


def fill(ledger: Ledger) -> list[int]:
    """Births written until SQLite says that there is no room; which were acknowledged."""
    database = ledger._database
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages + 6}")
    written: list[int] = []

    def write() -> None:
        for birth in range(20, 2000):
            ledger.born(birth, Proposal(vector(birth / 1e4)))
            ledger.scored(birth, Score((float(birth),), notes={"text": "x" * 500}))
            ledger.committed(birth, birth)
            written.append(birth)

    words = "database or disk is full.*What was scored is safe; make room, then `evolve resume"
    with pytest.raises(StoreError, match=words):
        write()
    return written


def test_a_full_disk_is_named_and_loses_nothing(folder: Path) -> None:
    with closing(Ledger.open(folder, write=True)) as ledger:
        ledger.begin_epoch({})
        written = fill(ledger)
        digest = ledger.digest()
        assert written
        ledger._database.execute("PRAGMA max_page_count = 1000000")  # room again
        half = ledger.births() - 20 - len(written)  # born, but not scored
        assert half in (0, 1)
        ledger.set_fact("after", 1)  # no transaction was left open
    with closing(Ledger.open(folder, write=True)) as ledger:
        assert [record.birth for record in ledger.records()] == [*range(20), *written]
        assert ledger.digest() == digest


def test_a_payload_that_finds_no_room_leaves_no_row_behind(folder: Path) -> None:
    with closing(Ledger.open(folder, write=True)) as ledger:
        ledger.begin_epoch({})
        ledger.born(20, Proposal(vector(0.5)))
        in_the_way = folder / "vault"
        in_the_way.write_text("a file where the vault should be")
        with pytest.raises(StoreError, match="make room, then resume the run"):
            ledger.scored(20, Score((1.0,), samples=(np.zeros(40_000, np.float32),)))
        assert ledger.unfinished()[0].score is None
        in_the_way.unlink()
        ledger.scored(20, Score((1.0,), samples=(np.zeros(40_000, np.float32),)))
        ledger.committed(20, 20)
    with closing(Ledger.open(folder, write=False)) as ledger:
        assert len(ledger.records()) == 21
