"""The tables: made once, and what they refuse to hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from evolve.store.schema import FORMAT, TABLES


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as made:
        made.executescript(TABLES)
        yield made


def test_the_tables_are_those_of_this_format(database: sqlite3.Connection) -> None:
    """Another column is another format: raise FORMAT with it."""
    tables = [
        row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    ]
    columns = {
        table: [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        for table in tables
    }
    assert FORMAT == 2
    assert columns == {
        "run": ["key", "value"],
        "epoch": ["epoch", "started", "pid", "host", "facts"],
        "payload": ["key", "data"],
        "genome": ["digest", "kind", "facts", "arrays"],
        "birth": ["birth", "epoch", "digest", "rung", "parents", "operator", "facts"],
        "attempt": [
            "birth", "attempt", "stage", "epoch", "started", "ended", "worker", "outcome",
            "detail", "late",
        ],
        "score": ["birth", "commit_order", "epoch", "twin_of", "seconds", "error", "score"],
        "snapshot": ["commit_order", "facts", "arrays"],
        "final": ["split", "digest", "seconds", "score"],
        "final_row": ["position", "name", "role", "digest", "birth"],
    }  # fmt: skip


def test_a_birth_is_scored_once_and_a_place_told_once(database: sqlite3.Connection) -> None:
    insert = "INSERT INTO score VALUES (?, ?, 1, NULL, 0.0, NULL, '{}')"
    database.execute(insert, (0, 0))
    with pytest.raises(sqlite3.IntegrityError):
        database.execute(insert, (0, 1))
    with pytest.raises(sqlite3.IntegrityError):
        database.execute(insert, (1, 0))
    database.executemany(insert, [(2, None), (3, None)])  # scored, not yet told
