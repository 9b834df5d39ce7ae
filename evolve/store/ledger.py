"""The ledger: one SQLite file a run, one writer, every birth, attempt and score.

Write-ahead log with `synchronous=NORMAL`: nothing acknowledged is lost when the process is
killed; a power cut may take the last commits, never the file. Whoever began an epoch may write
until another one is begun: then it is fenced. Knows no search and no worker.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from pathlib import Path

from evolve.errors import StoreError
from evolve.genome import Genome, Json, Packed, canonical, digest, kind_of
from evolve.score import Record, Score
from evolve.search.protocol import Plan, Proposal
from evolve.store import fencing, reading
from evolve.store.codec import decode, encode
from evolve.store.connect import connect, explained
from evolve.store.files import settled
from evolve.store.lease import Lease
from evolve.store.making import make, refuse_used
from evolve.store.reading import Open
from evolve.store.schema import FORMAT, Stage
from evolve.store.thinning import crowded
from evolve.store.vault import Vault


class Ledger:
    """A run on disk. Build with `create` (new) or `open` (existing)."""

    def __init__(self, folder: Path, database: sqlite3.Connection, lease: Lease | None) -> None:
        self.folder = folder
        self.epoch = 0
        self._database = database
        self._lease = lease
        self._deep = False  # inside a transaction
        self.vault = Vault(self._vault_at(), database)

    @classmethod
    def create(cls, folder: Path, facts: Mapping[str, Json], vault: str | None = None) -> Ledger:
        """A new run at `folder`, described by `facts`. Raises `StoreError` if it exists.

        `vault`: a folder or an fsspec URL for large payloads; None: in the run's own folder.
        """
        if vault is not None:
            facts = {**facts, "vault": settled(vault)}
        try:
            refuse_used(folder)
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"Cannot make the run directory {folder}: {error}.") from error
        with ExitStack() as undo:
            lease = Lease.take(folder)
            undo.callback(lease.release)
            refuse_used(folder)  # again: another process may have made it before the lock
            make(folder, facts)
            with explained(folder):
                made = cls(folder, connect(folder, write=True), lease)
            undo.pop_all()
        return made

    @classmethod
    def open(cls, folder: Path, *, write: bool, verify: bool = True) -> Ledger:
        """The run at `folder`. Raises `StoreError`: missing, locked, truncated, other format.

        `verify` reads the whole file once to see that it is sound.
        """
        if not (folder / "ledger.sqlite").exists():
            raise StoreError(f"{folder} holds no run (there is no ledger.sqlite in it).")
        with ExitStack() as undo:
            lease = Lease.take(folder) if write else None
            if lease is not None:
                undo.callback(lease.release)
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
            with explained(folder, write=write):
                opened = cls(folder, database, lease)
            undo.pop_all()
        return opened

    def close(self) -> None:
        """Close the file and let go of the lock."""
        self._database.close()
        if self._lease is not None:
            self._lease.release()

    def discard(self) -> None:
        """Remove a run in which nothing was born."""
        assert self.births() == 0, "births are never removed"
        for file in self.folder.glob("ledger.sqlite*"):
            file.unlink()

    def together(self) -> AbstractContextManager[None]:
        """Several writes that are there all or not at all, for the price of one."""
        return self._transaction()

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Inside `together`: if this part raises, it alone is undone; what came before is kept."""
        assert self._deep, "apart from what?"
        self._database.execute("SAVEPOINT apart")
        try:
            yield
        except BaseException:
            if self._database.in_transaction:  # a full disk has ended it
                self._database.execute("ROLLBACK TO apart")
                self._database.commit()
            raise
        self._database.execute("RELEASE apart")

    def copy_to(self, file: Path) -> None:
        """Copy the ledger as it is now into a new `file`, alone. Raises `sqlite3.Error`."""
        assert not self._deep, "what is written together is copied together"
        with closing(sqlite3.connect(file)) as target:
            self._database.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")  # no log beside a copy

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
            epoch = fencing.begin_epoch(self._database, facts)
        self.epoch = epoch
        return self.epoch

    # --- births ------------------------------------------------------------------------------

    def planned(self, birth: int, plan: Plan[Genome]) -> None:
        """Write a birth whose operator goes to a worker; `born` gives it its genome."""
        parents = [parent.birth for parent in plan.parents]
        self._put_birth(birth, None, plan.rung, parents, plan.operator.name, plan.facts)

    def born(self, birth: int, proposal: Proposal[Genome]) -> str:
        """Write a birth before it is submitted; returns its genome's digest."""
        with self._transaction():
            name = self._put_genome(proposal.genome)
            p = proposal
            self._put_birth(birth, name, p.rung, p.parents, p.operator, p.facts)
        return name

    def births(self) -> int:
        """How many births are written; they are numbered 0, 1 ..."""
        return self._number("SELECT COALESCE(MAX(birth) + 1, 0) FROM birth")

    # --- attempts ----------------------------------------------------------------------------

    def dispatched(self, birth: int, stage: Stage = Stage.EVALUATE) -> int:
        """Write that `birth` goes to a worker; returns the attempt's number, 1, 2 ..."""
        with self._transaction():
            return fencing.dispatched(self._database, birth, self.epoch, stage)

    def ended(
        self, birth: int, attempt: int, epoch: int, outcome: str, worker: str, detail: str = ""
    ) -> bool:
        """Write how an attempt ended: `scored`, or the kind of its failure.

        False if it has ended before, or belongs to another epoch than the one that is on: its
        result is fenced. Only that it came late is written then, once.
        """
        with self._transaction():
            key = (birth, attempt, epoch)
            return fencing.ended(self._database, key, outcome, worker, detail)

    def failures(self, birth: int, stage: Stage = Stage.EVALUATE) -> list[str]:
        """The outcomes of `birth`'s ended attempts at `stage` that failed, in order."""
        rows = self._database.execute(
            "SELECT outcome FROM attempt WHERE birth = ? AND stage = ? AND outcome IS NOT NULL "
            "AND outcome != 'scored' ORDER BY attempt",
            (birth, stage.value),
        )
        return [row[0] for row in rows]

    def outcomes(self) -> dict[str, int]:
        """How many attempts ended in which way."""
        return reading.outcomes(self._database)

    def refusals(self) -> dict[tuple[str, str], int]:
        """How often an operator in a worker or thread found no child, by (operator, reason)."""
        return reading.refusals(self._database)

    def late(self) -> int:
        """How many attempts had a result that was fenced."""
        return self._number("SELECT COUNT(late) FROM attempt")

    # --- scores ------------------------------------------------------------------------------

    def scored(
        self, birth: int, score: Score, *, seconds: float = 0.0, twin_of: int | None = None
    ) -> None:
        """Write a score as soon as it is known; it is told later, in commit order."""
        kind = None if score.error is None else score.error.partition(":")[0]
        with self._transaction():
            self._database.execute(
                "INSERT INTO score VALUES (?, NULL, ?, ?, ?, ?, ?)",
                (birth, self.epoch, twin_of, seconds, kind, encode(score, self.vault)),
            )

    def committed(self, birth: int, order: int) -> None:
        """Write that `birth`'s score is now told, as number `order`."""
        with self._transaction():
            self._database.execute(
                "UPDATE score SET commit_order = ? WHERE birth = ?", (order, birth)
            )

    def known(self, name: str, rung: int) -> tuple[int, Score] | None:
        """The score that answers a twin: of the first birth of digest `name` at `rung`.

        Failures are not reused, but for those of a poison genome; nor are twins' own scores.
        """
        return reading.known(self._database, self.vault, name, rung)

    # --- reading back ------------------------------------------------------------------------

    def told(self) -> int:
        """How many scores are committed; their orders are 0, 1 ..."""
        return self._number("SELECT COALESCE(MAX(commit_order) + 1, 0) FROM score")

    def replay(self, start: int = 0) -> Iterator[tuple[int, int, str, Proposal[Genome], Score]]:
        """(order, birth, digest, proposal, score) of what was committed, from order `start` on.

        Holds one page in memory; the ledger may be written meanwhile.
        """
        return reading.replay(self._database, self.vault, start)

    def records(self) -> list[Record[Genome]]:
        """Every committed record, in commit order."""
        return [
            reading.as_record(birth, name, proposal, score)
            for _, birth, name, proposal, score in self.replay()
        ]

    def records_of(self, births: Sequence[int]) -> list[Record[Genome]]:
        """The records of scored `births`, in that order."""
        return reading.records_of(self._database, self.vault, births)

    def unfinished(self) -> list[Open]:
        """Every birth that is written and not committed, by number."""
        return reading.unfinished(self._database, self.vault)

    def digest(self) -> str:
        """sha256 of genomes, scores, origins and commit order: equal runs, equal digests.

        Times, attempts, epochs and the text of errors (their kind counts) are left out.
        """
        return reading.digest_of(self._database)

    # --- snapshots of a search ---------------------------------------------------------------

    def set_snapshot(self, order: int, packed: Packed) -> None:
        """Write what a search is after `order` scores were told; forgets most older ones."""
        with self._transaction():
            key = self.vault.put(packed.arrays) if packed.arrays else None
            self._database.execute(
                "INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?)",
                (order, json.dumps(packed.facts), key),
            )
            self._database.executemany(
                "DELETE FROM snapshot WHERE commit_order = ?",
                [(each,) for each in crowded(self.snapshots())],
            )

    def forget_snapshots(self) -> None:
        """Remove every snapshot: the search is told everything again."""
        with self._transaction():
            self._database.execute("DELETE FROM snapshot")

    def snapshots(self) -> list[int]:
        """The orders that have a snapshot, ascending."""
        rows = self._database.execute("SELECT commit_order FROM snapshot ORDER BY 1")
        return [row[0] for row in rows]

    def snapshot(self, order: int) -> Packed:
        """What was written at `order`, one of `snapshots`."""
        facts, key = self._database.execute(
            "SELECT facts, arrays FROM snapshot WHERE commit_order = ?", (order,)
        ).fetchone()
        return Packed(json.loads(facts), {} if key is None else self.vault.get(key))

    # --- the final test ----------------------------------------------------------------------

    def final(self, split: str, name: str) -> Score | None:
        """The stored score of genome digest `name` on `split`."""
        row = self._database.execute(
            "SELECT score FROM final WHERE split = ? AND digest = ?", (split, name)
        ).fetchone()
        return None if row is None else decode(row[0], self.vault)

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

    def _vault_at(self) -> str | Path:
        row = self._database.execute("SELECT value FROM run WHERE key = 'vault'").fetchone()
        return self.folder / "vault" if row is None else str(json.loads(row[0]))

    def _put_birth(
        self,
        birth: int,
        name: str | None,
        rung: int,
        parents: Sequence[int],
        operator: str,
        facts: Mapping[str, Json],
    ) -> None:
        with self._transaction():
            cursor = self._database.execute(
                "INSERT INTO birth VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (birth) DO UPDATE SET "
                "digest = excluded.digest, rung = excluded.rung, parents = excluded.parents, "
                "operator = excluded.operator, facts = excluded.facts WHERE digest IS NULL",
                (
                    birth, self.epoch, name, rung, json.dumps(parents), operator,
                    json.dumps(facts),
                ),
            )  # fmt: skip
            assert cursor.rowcount == 1, f"birth {birth} has its genome"

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

    def _number(self, question: str) -> int:
        (number,) = self._database.execute(question).fetchone()
        return int(number)

    def _transaction(self) -> AbstractContextManager[None]:
        """One transaction, also when entered again inside; fenced once another epoch began."""
        return nullcontext() if self._deep else self._begun()

    @contextmanager
    def _begun(self) -> Iterator[None]:
        with explained(self.folder), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            if self.epoch:
                fencing.refuse_fenced(self._database, self.epoch, self.folder)
            self._deep = True
            try:
                yield
            finally:
                self._deep = False
