"""A second copy of a run, made while it runs: in another folder, or at an fsspec URL.

The ledger is copied by SQLite's own backup (SQLite, "Online Backup API"), so it is one moment of
the run; payload files, named by their content, are copied once and before the ledger that names
them. A copy in a local folder is a whole run, to be read and resumed there. A vault that the run
was given elsewhere is not copied: the copy names the same one. Knows no engine; what cannot be
copied is a `StoreError`, and the run can go on.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

from evolve.errors import StoreError
from evolve.store.files import Folder, place_of
from evolve.store.lease import LOCK, Lease
from evolve.store.ledger import Ledger

LEDGER, VAULT = "ledger.sqlite", "vault"
SHARE = 20  # a copy begins when this many times the last one's duration has passed: 5 % at most
LEAST, MOST = 10.0, 1800.0  # seconds between two copies, whatever the last one took


class Backup:
    """Copies `ledger`'s run to `target`."""

    def __init__(self, ledger: Ledger, target: str) -> None:
        self.target = target
        self._ledger = ledger
        self._place = place_of(target)
        self._there: set[str] | None = None  # names of files; None: not looked yet
        self._next = time.monotonic()
        at = ledger.folder
        if isinstance(self._place, Folder) and self._place.path.resolve() == at.resolve():
            raise StoreError(f"The backup {target} is the run itself; give another place.")

    def due(self) -> bool:
        """Whether it is time for the next copy; the first is due at once."""
        return time.monotonic() >= self._next

    def copy(self) -> float:
        """Copy the run as it is now; returns the seconds it took. Raises `StoreError`."""
        began = time.monotonic()
        try:
            self._copy()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"Cannot copy the run in {self._ledger.folder} to {self.target}: {error}. The run "
                "itself is not harmed; make room there, or give another place when it is resumed."
            ) from error
        finally:
            took = time.monotonic() - began
            self._next = time.monotonic() + min(max(SHARE * took, LEAST), MOST)
        return took

    def _copy(self) -> None:
        with ExitStack() as held:
            room = None  # a local copy is made where it will lie, else in the system's place
            if isinstance(self._place, Folder):
                room = self._place.path
                room.mkdir(parents=True, exist_ok=True)
                held.callback(Lease.take(room).release)
                for left in room.glob(".backup-*"):  # by a driver that was killed
                    shutil.rmtree(left)
            made = held.enter_context(tempfile.TemporaryDirectory(dir=room, prefix=".backup-"))
            ours, theirs = Path(made) / "ours", Path(made) / "theirs"
            self._ledger.copy_to(ours)
            if self._there is None or room is not None:
                self._there = self._place.names()
                if LEDGER in self._there:
                    theirs.write_bytes(self._place.read(LEDGER))
                self._refuse_foreign(ours, theirs)
            self._copy_vault(self._there)
            self._place.put(ours, LEDGER)

    def _copy_vault(self, there: set[str]) -> None:
        vault = self._ledger.folder / VAULT
        for name in sorted(Folder(vault).names()):
            kept = f"{VAULT}/{name}"
            if kept not in there and not Path(name).name.startswith("."):
                self._place.put(vault / name, kept)
                there.add(kept)

    def _refuse_foreign(self, ours: Path, theirs: Path) -> None:
        """Raise `StoreError` if what is at the target is no earlier copy of this run."""
        assert self._there is not None, "looked just before"
        names = {name for name in self._there if not name.startswith((".", f"{VAULT}/"))}
        if foreign := names - {LOCK, LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm"}:
            raise StoreError(
                f"{self.target} holds {min(foreign)}, which is no copy of a run; give another "
                "place for the backup."
            )
        resumed = f"{LEDGER}-wal" in names  # a copy has none
        if resumed or (LEDGER in names and not _continues(_holds(ours), _holds(theirs))):
            raise StoreError(
                f"{self.target} holds another run, or a copy of this one that was resumed there; "
                "give another place for the backup."
            )


def _holds(file: Path) -> list[tuple[object, ...]]:
    """When the run of a copied ledger was made, and each driver that has held it."""
    with closing(sqlite3.connect(f"{file.as_uri()}?immutable=1", uri=True)) as database:
        made = database.execute("SELECT value FROM run WHERE key = 'created'").fetchall()
        epochs = database.execute("SELECT started, pid, host FROM epoch ORDER BY epoch").fetchall()
    return [*made, *epochs]


def _continues(ours: list[tuple[object, ...]], theirs: list[tuple[object, ...]]) -> bool:
    return ours[: len(theirs)] == theirs
