"""How a ledger's file is opened, and what SQLite's errors mean. Knows no table.

A reader leaves the journal mode alone and needs no permission to write (SQLite, "Write-Ahead
Logging", section 5: read-only databases).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evolve.errors import StoreError

CACHE = 1 << 16  # KiB of pages: rows are found by digests, which lie anywhere
ROOM = 1 << 16  # bytes that a log and its index take at least


def connect(folder: Path, *, write: bool) -> sqlite3.Connection:
    """The ledger in `folder`, to be written by its one writer or read beside it."""
    file = folder / "ledger.sqlite"
    if not write:
        uri = f"{file.absolute().as_uri()}?{_reading(folder, file)}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)
    database = sqlite3.connect(file, isolation_level=None, timeout=30)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(f"PRAGMA cache_size = -{CACHE}")
    return database


def _reading(folder: Path, file: Path) -> str:
    """How a reader opens `file`: so that it needs no permission and leaves nothing behind."""
    room = shutil.disk_usage(folder).free >= ROOM
    if room and os.access(folder, os.W_OK) and os.access(file, os.W_OK):
        return "mode=rw"  # read-only, it would leave the empty log that it had to make
    if (folder / f"{file.name}-wal").exists():
        return "mode=ro"  # beside a live writer, or after a killed one
    return "immutable=1"  # no log can be made, and without one nobody writes


@contextmanager
def explained(folder: Path, *, write: bool = True) -> Iterator[None]:
    """Turn SQLite's errors into `StoreError`."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = vars(error).get("sqlite_errorcode", sqlite3.SQLITE_ERROR)  # not always set
        if code == sqlite3.SQLITE_ERROR:  # its tables or its text are not what they were
            raise _damaged(folder, error) from error
        if not write:
            raise StoreError(
                f"Cannot read the ledger in {folder}: {error}; get permission to read all of "
                "ledger.sqlite*, make room there, or copy the directory."
            ) from error
        what = "make room" if code == sqlite3.SQLITE_FULL else "mend that"
        raise StoreError(
            f"Cannot write to the ledger in {folder}: {error}. What was scored is safe; {what}, "
            f"then `evolve resume {folder}`."
        ) from error
    except sqlite3.DatabaseError as error:
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: sqlite3.Error) -> StoreError:
    return StoreError(
        f"The ledger in {folder} is damaged or truncated ({error}); restore ledger.sqlite "
        "(with its -wal file) from a copy."
    )
