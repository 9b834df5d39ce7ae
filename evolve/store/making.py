"""How a run's ledger comes to be: whole or not at all, and never over another one."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from evolve.errors import StoreError
from evolve.genome import Json
from evolve.store.connect import explained
from evolve.store.lease import LOCK
from evolve.store.schema import FORMAT, TABLES

DRAFT = ".ledger.new"


def make(folder: Path, facts: Mapping[str, Json]) -> None:
    """Put an empty ledger with `facts` into `folder`, whose lease is held."""
    # Built under another name: a kill in between leaves no half-made ledger.
    draft = folder / DRAFT
    with explained(folder):
        draft.unlink(missing_ok=True)
        with closing(sqlite3.connect(draft)) as database:
            database.executescript(TABLES)
            rows = {"format": FORMAT, "created": time.time(), **facts}
            database.executemany(
                "INSERT INTO run VALUES (?, ?)", [(k, json.dumps(v)) for k, v in rows.items()]
            )
            database.commit()
        draft.rename(folder / "ledger.sqlite")


def refuse_used(folder: Path) -> None:
    """Raise `StoreError` if `folder` holds anything but what a killed `make` leaves."""
    if (folder / "ledger.sqlite").exists():
        raise StoreError(
            f"{folder} already holds a run; resume it (`evolve resume {folder}`) or give "
            "another directory."
        )
    ours = {LOCK, DRAFT, f"{DRAFT}-journal", "log.jsonl", "log.1.jsonl"}
    if folder.exists() and any(each.name not in ours for each in folder.iterdir()):
        raise StoreError(f"{folder} exists and is not empty; give another directory.")
