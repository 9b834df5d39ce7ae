"""What a ledger says, read from outside while drivers write and die. Knows no driver."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Attempt:
    """One row of `attempt`."""

    birth: int
    attempt: int
    epoch: int
    started: float
    ended: float | None
    worker: str | None
    outcome: str | None
    detail: str | None
    late: float | None


@contextmanager
def _reading(folder: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(f"file:{folder / 'ledger.sqlite'}?mode=ro", uri=True, timeout=30)
    try:
        yield database
    finally:
        database.close()


def attempts(folder: Path) -> list[Attempt]:
    """Every attempt, by birth."""
    with _reading(folder) as database:
        rows = database.execute(
            "SELECT birth, attempt, epoch, started, ended, worker, outcome, detail, late "
            "FROM attempt ORDER BY birth, attempt"
        ).fetchall()
    return [Attempt(*row) for row in rows]


def epochs(folder: Path) -> int:
    """How many drivers began."""
    with _reading(folder) as database:
        (count,) = database.execute("SELECT COUNT(*) FROM epoch").fetchone()
    return int(count)


def wasted(folder: Path) -> int:
    """Attempts beyond the first, over all births."""
    found = attempts(folder)
    return len(found) - len({each.birth for each in found})


def sound(folder: Path) -> bool:
    """Whether the file is whole, and every birth is committed once, in order."""
    with _reading(folder) as database:
        whole = database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        orders = database.execute("SELECT commit_order FROM score ORDER BY 1").fetchall()
        (births,) = database.execute("SELECT COUNT(*) FROM birth").fetchone()
    return whole and [order for (order,) in orders] == list(range(births))


class Witness:
    """Remembers what was scored and committed, and holds the ledger to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[int, tuple[Any, ...]] = {}
        self.lost = 0  # scores that were there and are not, or are others

    def look(self) -> int:
        """Compare with what was seen before, take in what is new; scores there are."""
        if not (self._folder / "ledger.sqlite").exists():
            return 0
        try:
            with _reading(self._folder) as database:
                rows = database.execute(
                    "SELECT birth, commit_order, twin_of, score, digest, parents, operator "
                    "FROM score JOIN birth USING (birth)"
                ).fetchall()
        except sqlite3.OperationalError:  # a driver is making it
            assert not self._seen, "what was read cannot be read any more"
            return 0
        now = {birth: tuple(rest) for birth, *rest in rows}
        for birth, before in self._seen.items():
            after = now.get(birth)
            kept = after is not None and before[1:] == after[1:]
            if not kept or (before[0] is not None and after is not None and before[0] != after[0]):
                self.lost += 1
        self._seen = now
        return len(now)
