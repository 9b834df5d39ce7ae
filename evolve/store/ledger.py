"""The ledger: one SQLite file a run, one writer, every birth, attempt and score.

Write-ahead log with `synchronous=NORMAL`: nothing acknowledged is lost when the process is
killed; a power cut may take the last commits, never the file. Knows no search and no worker.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from evolve.errors import StoreError
from evolve.genome import Genome, Json, Packed, canonical, class_of, digest, kind_of
from evolve.score import Record, Score
from evolve.search.protocol import Proposal
from evolve.store.codec import decode, encode
from evolve.store.connect import connect, explained
from evolve.store.schema import FORMAT, TABLES
from evolve.store.vault import Vault

LOCK, DRAFT = "lock", ".ledger.new"


@dataclass(frozen=True)
class Scored:
    """A stored score: `order` is None until it is told to the search."""

    birth: int
    order: int | None
    twin_of: int | None
    seconds: float
    score: Score


class Ledger:
    """A run on disk. Build with `create` (new) or `open` (existing)."""

    def __init__(self, folder: Path, database: sqlite3.Connection, lock: IO[str] | None) -> None:
        self.folder = folder
        self.vault = Vault(folder / "vault", database)
        self.epoch = 0
        self._database = database
        self._lock = lock

    @classmethod
    def create(cls, folder: Path, facts: Mapping[str, Json]) -> Ledger:
        """A new run at `folder`, described by `facts`. Raises `StoreError` if it exists."""
        try:
            _refuse_used(folder)
            folder.mkdir(parents=True, exist_ok=True)
            lock = _locked(folder)
        except OSError as error:
            raise StoreError(f"Cannot make the run directory {folder}: {error}.") from error
        # Built under another name: a kill in between leaves no half-made ledger.
        draft = folder / DRAFT
        try:
            _refuse_used(folder)  # again: another process may have made it before the lock
            draft.unlink(missing_ok=True)
            with explained(folder), closing(sqlite3.connect(draft)) as database:
                database.executescript(TABLES)
                rows = {"format": FORMAT, "created": time.time(), **facts}
                database.executemany(
                    "INSERT INTO run VALUES (?, ?)", [(k, json.dumps(v)) for k, v in rows.items()]
                )
                database.commit()
            draft.rename(folder / "ledger.sqlite")
            with explained(folder):
                return cls(folder, connect(folder, write=True), lock)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def open(cls, folder: Path, *, write: bool, verify: bool = True) -> Ledger:
        """The run at `folder`. Raises `StoreError`: missing, locked, truncated, other format.

        `verify` reads the whole file once to see that it is sound.
        """
        if not (folder / "ledger.sqlite").exists():
            raise StoreError(f"{folder} holds no run (there is no ledger.sqlite in it).")
        with ExitStack() as undo:
            lock = undo.enter_context(_locked(folder)) if write else None
            with explained(folder, write=write):
                database = undo.enter_context(closing(connect(folder, write=write)))
                if verify and database.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                    raise sqlite3.DatabaseError("quick_check failed")
                found = database.execute("SELECT value FROM run WHERE key = 'format'").fetchone()
            if found is None or json.loads(found[0]) != FORMAT:
                raise StoreError(
                    f"The run in {folder} has ledger format {found and json.loads(found[0])}, "
                    f"this version reads {FORMAT}; use the version of evolve that made it."
                )
            undo.pop_all()
        return cls(folder, database, lock)

    def close(self) -> None:
        """Close the file and let go of the lock."""
        self._database.close()
        if self._lock is not None:
            self._lock.close()

    def discard(self) -> None:
        """Remove a run in which nothing was born."""
        assert self.births() == 0, "births are never removed"
        for file in self.folder.glob("ledger.sqlite*"):
            file.unlink()

    # --- facts -------------------------------------------------------------------------------

    @property
    def facts(self) -> dict[str, Json]:
        """What the run was begun with."""
        rows = self._database.execute("SELECT key, value FROM run")
        return {key: json.loads(value) for key, value in rows}

    def set_fact(self, key: str, value: Json) -> None:
        """Write one fact of the run."""
        with self._transaction():
            self._database.execute(
                "INSERT OR REPLACE INTO run VALUES (?, ?)", (key, json.dumps(value))
            )

    def unfinish(self) -> None:
        """Take back that the run has finished, and its final table; scores stay."""
        with self._transaction():
            self._database.execute("DELETE FROM run WHERE key = 'finished'")
            self._database.execute("DELETE FROM final_row")

    def begin_epoch(self, facts: Mapping[str, Json]) -> int:
        """The number of this driver's hold on the run, 1, 2 ...; ends all open attempts."""
        with self._transaction():
            self._database.execute(
                "UPDATE attempt SET ended = ?, outcome = 'driver lost' WHERE ended IS NULL",
                (time.time(),),
            )
            cursor = self._database.execute(
                "INSERT INTO epoch (started, pid, host, facts) VALUES (?, ?, ?, ?)",
                (time.time(), os.getpid(), platform.node(), json.dumps(facts)),
            )
        self.epoch = int(cursor.lastrowid or 0)
        return self.epoch

    # --- births and scores -------------------------------------------------------------------

    def born(self, birth: int, proposal: Proposal[Genome]) -> str:
        """Write a birth before it is submitted; returns its genome's digest."""
        with self._transaction():
            name = self._put_genome(proposal.genome)
            self._database.execute(
                "INSERT INTO birth VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    birth, self.epoch, name, proposal.rung, json.dumps(proposal.parents),
                    proposal.operator, json.dumps(proposal.facts),
                ),
            )  # fmt: skip
        return name

    def dispatched(self, birth: int) -> int:
        """Write that `birth` goes to a worker; returns the attempt's number, 1, 2 ..."""
        with self._transaction():
            row = self._database.execute(
                "SELECT COALESCE(MAX(attempt), 0) + 1 FROM attempt WHERE birth = ?", (birth,)
            ).fetchone()
            self._database.execute(
                "INSERT INTO attempt (birth, attempt, epoch, started) VALUES (?, ?, ?, ?)",
                (birth, row[0], self.epoch, time.time()),
            )
        return int(row[0])

    def ended(self, birth: int, attempt: int, outcome: str, worker: str, detail: str = "") -> None:
        """Write how an attempt ended: `scored`, or the kind of its failure."""
        with self._transaction():
            self._database.execute(
                "UPDATE attempt SET ended = ?, outcome = ?, worker = ?, detail = ? "
                "WHERE birth = ? AND attempt = ?",
                (time.time(), outcome, worker, detail, birth, attempt),
            )

    def scored(
        self, birth: int, score: Score, *, seconds: float = 0.0, twin_of: int | None = None
    ) -> None:
        """Write a score as soon as it is known; it is told later, in commit order."""
        with self._transaction():
            self._database.execute(
                "INSERT INTO score VALUES (?, NULL, ?, ?, ?, ?)",
                (birth, self.epoch, twin_of, seconds, encode(score, self.vault)),
            )

    def committed(self, birth: int, order: int) -> None:
        """Write that `birth`'s score is now told, as number `order`."""
        with self._transaction():
            self._database.execute(
                "UPDATE score SET commit_order = ? WHERE birth = ?", (order, birth)
            )

    def births(self) -> int:
        """How many births are written; they are numbered 0, 1 ..."""
        row = self._database.execute("SELECT COUNT(*) FROM birth").fetchone()
        return int(row[0])

    def failures(self, birth: int) -> list[str]:
        """The outcomes of `birth`'s ended attempts that gave no score, in order."""
        rows = self._database.execute(
            "SELECT outcome FROM attempt WHERE birth = ? AND outcome IS NOT NULL "
            "AND outcome != 'scored' ORDER BY attempt",
            (birth,),
        )
        return [row[0] for row in rows]

    def proposals(self) -> Iterator[tuple[int, str, Proposal[Genome]]]:
        """(birth, digest, proposal) of every birth, by number."""
        rows = self._database.execute(
            "SELECT birth, birth.digest, rung, parents, operator, birth.facts, kind, "
            "genome.facts, arrays FROM birth JOIN genome USING (digest) ORDER BY birth"
        )
        for birth, name, rung, parents, operator, facts, kind, genome_facts, arrays in rows:
            genome = self._genome(kind, genome_facts, arrays)
            yield birth, name, Proposal(
                genome, tuple(json.loads(parents)), operator, rung, json.loads(facts)
            )  # fmt: skip

    def scores(self) -> dict[int, Scored]:
        """All stored scores by birth."""
        rows = self._database.execute(
            "SELECT birth, commit_order, twin_of, seconds, score FROM score ORDER BY birth"
        ).fetchall()
        return {
            row[0]: Scored(row[0], row[1], row[2], row[3], self._score(row[4])) for row in rows
        }

    def records(self) -> list[Record[Genome]]:
        """Every committed record, in commit order."""
        scores = self.scores()
        records = [
            (scores[birth].order, Record(birth, p.genome, name, scores[birth].score, p.rung,
                                         p.parents, p.operator, p.facts))
            for birth, name, p in self.proposals()
            if birth in scores and scores[birth].order is not None
        ]  # fmt: skip
        return [record for _, record in sorted(records, key=lambda pair: pair[0] or 0)]

    def outcomes(self) -> dict[str, int]:
        """How many attempts ended in which way."""
        rows = self._database.execute(
            "SELECT COALESCE(outcome, 'in flight'), COUNT(*) FROM attempt GROUP BY 1"
        )
        return dict(rows.fetchall())

    def digest(self) -> str:
        """sha256 of genomes, scores, origins and commit order: equal runs, equal digests.

        Times, attempts, epochs and the text of errors (their kind counts) are left out.
        """
        content = hashlib.sha256()
        rows = self._database.execute(
            "SELECT commit_order, birth, digest, rung, parents, operator, score "
            "FROM score JOIN birth USING (birth) WHERE commit_order IS NOT NULL "
            "ORDER BY commit_order"
        )
        for *origin, text in rows:
            score = json.loads(text)
            kind = str(score.get("error", "")).partition(":")[0]
            told = [score["values"], score.get("violation", 0.0), score.get("samples"), kind]
            content.update(canonical([*origin, told]).encode())
        return content.hexdigest()

    # --- the final test ----------------------------------------------------------------------

    def final(self, split: str, name: str) -> Score | None:
        """The stored score of genome digest `name` on `split`."""
        row = self._database.execute(
            "SELECT score FROM final WHERE split = ? AND digest = ?", (split, name)
        ).fetchone()
        return None if row is None else self._score(row[0])

    def finally_scored(self, split: str, genome: Genome, score: Score, seconds: float) -> None:
        """Write the one score of `genome` on `split`."""
        with self._transaction():
            name = self._put_genome(genome)
            self._database.execute(
                "INSERT INTO final VALUES (?, ?, ?, ?)",
                (split, name, seconds, encode(score, self.vault)),
            )

    def set_final_rows(self, rows: list[tuple[str, str, str, int | None]]) -> None:
        """Write the final table: (name, role, digest, birth), in the order to be read."""
        with self._transaction():
            self._database.execute("DELETE FROM final_row")
            self._database.executemany(
                "INSERT INTO final_row (name, role, digest, birth) VALUES (?, ?, ?, ?)", rows
            )

    def final_rows(self) -> list[tuple[str, str, str, int | None]]:
        """The final table: (name, role, digest, birth)."""
        return self._database.execute(
            "SELECT name, role, digest, birth FROM final_row ORDER BY position"
        ).fetchall()

    # --- below -------------------------------------------------------------------------------

    def _put_genome(self, genome: Genome) -> str:
        packed, name = genome.pack(), digest(genome)
        known = "SELECT 1 FROM genome WHERE digest = ?"
        if self._database.execute(known, (name,)).fetchone() is None:
            key = self.vault.put(packed.arrays) if packed.arrays else None
            self._database.execute(
                "INSERT INTO genome VALUES (?, ?, ?, ?)",
                (name, kind_of(genome), canonical(packed.facts), key),
            )
        return name

    def _genome(self, kind: str, facts: str, arrays: str | None) -> Genome:
        packed = Packed(json.loads(facts), {} if arrays is None else self.vault.get(arrays))
        return class_of(kind).unpack(packed)

    def _score(self, text: str) -> Score:
        return decode(text, self.vault)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with explained(self.folder), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            yield


def _refuse_used(folder: Path) -> None:
    """Raise `StoreError` if `folder` holds anything but what a killed `create` leaves."""
    if (folder / "ledger.sqlite").exists():
        raise StoreError(
            f"{folder} already holds a run; resume it (`evolve resume {folder}`) or give "
            "another directory."
        )
    ours = {LOCK, DRAFT, f"{DRAFT}-journal"}
    if folder.exists() and any(each.name not in ours for each in folder.iterdir()):
        raise StoreError(f"{folder} exists and is not empty; give another directory.")


def _locked(folder: Path) -> IO[str]:
    """The lock of a run directory, held until closed (or until this process is gone)."""
    try:
        file = (folder / LOCK).open("a+")
    except OSError as error:
        raise StoreError(f"Cannot write to the run directory {folder}: {error}.") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise StoreError(
            f"{folder} is being written by a live run ({holder}); wait for it, or stop it first."
        ) from error
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}")
    file.flush()
    return file
