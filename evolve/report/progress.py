"""Where a run stands now, read from its ledger beside the driver. Writes nothing, locks nothing.

Each told score is read once, so that a screen of a long run costs little more than that of a
short one; genomes are never read. The attempts are counted anew each time: 0.8 s a
million, so the screen of such a run is drawn every eight seconds.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve.archive.front import Front
from evolve.errors import StoreError
from evolve.failure import is_poison
from evolve.score import Record, Score
from evolve.store.connect import connect, explained
from evolve.store.run import Run

RECENT = 300.0  # seconds: what counts as now, for births a second and for workers
PAGE = 50_000  # scores a look: the first looks at a long run show a front of a part of it


@dataclass(frozen=True)
class Flight:
    """An attempt that has not ended."""

    birth: int
    attempt: int
    stage: str
    seconds: float


@dataclass(frozen=True)
class Seen:
    """A worker with attempts that ended lately."""

    worker: str
    ended: int
    failed: int
    busy: float  # of the time looked at
    last: str  # outcome
    ago: float  # seconds since its last attempt ended


@dataclass(frozen=True, eq=False)
class Progress:
    """One look at a run."""

    facts: Mapping[str, Any]
    told: int
    written: int  # births planned or born
    rate: float | None  # births told a second; None: not known, or nothing goes on
    flights: tuple[Flight, ...]  # the oldest first
    workers: tuple[Seen, ...]
    outcomes: Mapping[str, int]  # attempts that ended, by outcome
    fenced: int
    failed: Mapping[str, int]  # births told as failed, by kind
    quarantined: int  # genomes
    front: Front[Any]
    read: int  # births that the front and the failures are of
    epoch: int
    quiet: float  # seconds since the driver gave a sign

    @property
    def births(self) -> int:
        return int(self.facts["births"])

    @property
    def finished(self) -> bool:
        return "finished" in self.facts

    @property
    def left(self) -> float | None:
        """Seconds to the last birth at this rate."""
        return None if not self.rate else (self.births - self.told) / self.rate


class Follower:
    """Looks at the run in `path` as often as it is asked."""

    def __init__(self, path: Path) -> None:
        run: Run[Any] = Run.at(path)
        self._path = path
        self._front: Front[Any] = Front(run.objectives)
        self._read = 0
        self._failed: Counter[str] = Counter()
        self._poison: set[str] = set()  # digests

    def look(self) -> Progress:
        """Where the run stands. Raises `StoreError` if it cannot be read."""
        with (
            explained(self._path, write=False),
            closing(connect(self._path, write=False)) as ledger,
        ):
            ledger.execute("BEGIN")  # one moment for all questions; ends with the connection
            return self._progress(ledger, time.time())

    def _progress(self, ledger: sqlite3.Connection, now: float) -> Progress:
        facts = {key: json.loads(value) for key, value in ledger.execute("SELECT * FROM run")}
        told = _one(ledger, "SELECT COALESCE(MAX(commit_order) + 1, 0) FROM score")
        self._follow(ledger)
        epoch = _one(ledger, "SELECT COALESCE(MAX(epoch), 0) FROM epoch")
        # The start of workers is no part of the time in which they could have worked.
        (began,) = ledger.execute(
            "SELECT MIN(started) FROM attempt WHERE ended > ? AND epoch = ?", (now - RECENT, epoch)
        ).fetchone()
        span = min(RECENT, max(now - (began or now), 1.0))
        outcomes = _outcomes(ledger)
        workers = _workers(ledger, now, span)
        ended = sum(n for outcome, n in outcomes.items() if outcome != "driver lost")
        lately = sum(worker.ended for worker in workers)
        goes_on = lately and "finished" not in facts
        return Progress(
            facts=facts,
            told=told,
            written=_one(ledger, "SELECT COALESCE(MAX(birth) + 1, 0) FROM birth"),
            # Retries make it fewer births than attempts, twins make it more.
            rate=lately / span * told / ended if goes_on else None,
            flights=_flights(ledger, now),
            workers=workers,
            outcomes=outcomes,
            fenced=_one(ledger, "SELECT COUNT(late) FROM attempt"),
            failed=dict(self._failed.most_common()),
            quarantined=len(self._poison),
            front=self._front,
            read=self._read,
            epoch=epoch,
            quiet=now - self._sign(),
        )

    def _follow(self, ledger: sqlite3.Connection) -> None:
        """Take up the scores told since the last look."""
        rows = ledger.execute(
            "SELECT commit_order, birth, digest, rung, operator, score FROM score "
            "JOIN birth USING (birth) WHERE commit_order >= ? ORDER BY commit_order LIMIT ?",
            (self._read, PAGE),
        )
        unread: Any = None  # the genome
        for order, birth, digest, rung, operator, text in rows:
            told = json.loads(text)
            score = Score(
                tuple(told["values"]), told.get("violation", 0.0), error=told.get("error")
            )
            self._read = order + 1
            self._front.add(Record(birth, unread, digest, score, rung, operator=operator))
            if score.error is not None:
                self._failed[score.error.partition(":")[0]] += 1
                if is_poison(score.error):
                    self._poison.add(digest)

    def _sign(self) -> float:
        """When the driver last touched the run: its lock has a heartbeat, the ledger its log."""
        times = []
        for name in ("lock", "ledger.sqlite", "ledger.sqlite-wal"):
            try:
                times.append((self._path / name).stat().st_mtime)
            except FileNotFoundError:
                continue
        if not times:
            raise StoreError(f"{self._path} is gone.")
        return max(times)


def _outcomes(ledger: sqlite3.Connection) -> dict[str, int]:
    """How many attempts ended in which way, the commonest first."""
    # To group all rows SQLite would sort them; nearly all are `scored`, and need only counting.
    others = dict[str | None, int](
        ledger.execute(
            "SELECT outcome, COUNT(*) FROM attempt WHERE outcome IS NOT 'scored' GROUP BY outcome"
        ).fetchall()
    )
    scored = _one(ledger, "SELECT COUNT(*) FROM attempt") - sum(others.values())
    ended = Counter({name: n for name, n in others.items() if name is not None})
    return dict((ended + Counter(scored=scored)).most_common())


def _flights(ledger: sqlite3.Connection, now: float) -> tuple[Flight, ...]:
    rows = ledger.execute(
        "SELECT birth, attempt, stage, ? - started FROM attempt WHERE ended IS NULL "
        "ORDER BY started, birth",
        (now,),
    )
    return tuple(Flight(*row) for row in rows)


def _workers(ledger: sqlite3.Connection, now: float, span: float) -> tuple[Seen, ...]:
    """Who ended attempts in the last `span` seconds, by name."""
    # In SQLite the bare column beside one MAX is of the row that has the maximum.
    rows = ledger.execute(
        "SELECT worker, COUNT(*), SUM(outcome NOT IN ('scored', 'varied')), "
        "SUM(ended - MAX(started, ?)) / ?, outcome, ? - MAX(ended) "
        "FROM attempt WHERE ended > ? AND worker IS NOT NULL AND worker != '' "
        "GROUP BY worker ORDER BY length(worker), worker",
        (now - span, span, now, now - span),
    )
    return tuple(Seen(*row) for row in rows)


def _one(ledger: sqlite3.Connection, question: str) -> int:
    return int(ledger.execute(question).fetchone()[0])
