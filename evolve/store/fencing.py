"""Epochs and attempts: which driver may write, and which result counts.

An epoch is one driver's hold on a run; the newest is the only one that may write. An attempt
belongs to the epoch that opened it and ends once. Every function here runs inside a transaction
of the ledger's.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

from evolve.errors import StoreError
from evolve.failure import Failure
from evolve.genome import Json
from evolve.store.schema import Stage


def begin_epoch(database: sqlite3.Connection, facts: Mapping[str, Json]) -> int:
    """The number of a new epoch; all open attempts end as `driver lost`."""
    database.execute(
        "UPDATE attempt SET ended = ?, outcome = ? WHERE ended IS NULL",
        (time.time(), Failure.DRIVER_LOST.value),
    )
    cursor = database.execute(
        "INSERT INTO epoch (started, pid, host, facts) VALUES (?, ?, ?, ?)",
        (time.time(), os.getpid(), platform.node(), json.dumps(facts)),
    )
    return int(cursor.lastrowid or 0)


def refuse_fenced(database: sqlite3.Connection, epoch: int, folder: Path) -> None:
    """Raise `StoreError` if another driver has begun an epoch after `epoch`."""
    (newest,) = database.execute("SELECT MAX(epoch) FROM epoch").fetchone()
    if newest == epoch:
        return
    pid, host = database.execute(
        "SELECT pid, host FROM epoch WHERE epoch = ?", (newest,)
    ).fetchone()
    raise StoreError(
        f"Another driver (process {pid} on {host}) has taken over the run in {folder}: this one, "
        f"of epoch {epoch}, may not write any more. What was scored is safe; leave the run to it."
    )


def dispatched(database: sqlite3.Connection, birth: int, epoch: int, stage: Stage) -> int:
    """The number of a new attempt, which is open now."""
    (attempt,) = database.execute(
        "SELECT COALESCE(MAX(attempt), 0) + 1 FROM attempt WHERE birth = ?", (birth,)
    ).fetchone()
    database.execute(
        "INSERT INTO attempt (birth, attempt, stage, epoch, started) VALUES (?, ?, ?, ?, ?)",
        (birth, attempt, stage.value, epoch, time.time()),
    )
    return int(attempt)


def ended(
    database: sqlite3.Connection,
    key: tuple[int, int, int],
    outcome: str,
    worker: str,
    detail: str,
) -> bool:
    """Whether the attempt `key` (birth, attempt, epoch) was open; else its result is late."""
    now = time.time()
    cursor = database.execute(
        "UPDATE attempt SET ended = ?, outcome = ?, worker = ?, detail = ? "
        "WHERE birth = ? AND attempt = ? AND epoch = ? AND ended IS NULL",
        (now, outcome, worker, detail, *key),
    )
    if cursor.rowcount == 1:
        return True
    database.execute(
        "UPDATE attempt SET late = COALESCE(late, ?) WHERE birth = ? AND attempt = ?",
        (now, *key[:2]),
    )
    return False
