"""What a ledger's rows say, read a page at a time. Writes nothing; knows no file and no lock.

A page is read whole before its rows are given out, so that whoever takes them may write to the
same database meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolve.failure import POISON
from evolve.genome import Genome, Json, Packed, canonical, class_of
from evolve.score import Record, Score
from evolve.search.protocol import Proposal
from evolve.store.codec import decode
from evolve.store.vault import Vault

PAGE = 256  # rows in memory at once

BORN = (
    "birth.birth, birth.digest, rung, parents, operator, birth.facts, kind, genome.facts, arrays"
)
REUSED = ", ".join(f"'{kind.value}'" for kind in sorted(POISON))


@dataclass(frozen=True, eq=False)
class Open:
    """A birth whose score is not committed yet, as the ledger holds it."""

    birth: int
    digest: str | None  # None: planned, its operator has made no child yet
    proposal: Proposal[Genome] | None
    rung: int
    parents: tuple[int, ...]
    operator: str
    facts: Mapping[str, Json]
    score: Score | None


def replay(
    database: sqlite3.Connection, vault: Vault, start: int
) -> Iterator[tuple[int, int, str, Proposal[Genome], Score]]:
    """(order, birth, digest, proposal, score) of what was committed, from order `start` on."""
    while rows := database.execute(
        f"SELECT commit_order, score, {BORN} FROM score JOIN birth USING (birth) "
        "JOIN genome USING (digest) WHERE commit_order >= ? ORDER BY commit_order LIMIT ?",
        (start, PAGE),
    ).fetchall():
        for order, text, *born in rows:
            proposal = _proposal(vault, born)
            yield order, born[0], born[1], proposal, decode(text, vault)
        start = rows[-1][0] + 1


def records_of(
    database: sqlite3.Connection, vault: Vault, births: Sequence[int]
) -> list[Record[Genome]]:
    """The records of scored `births`, in that order."""
    rows = database.execute(
        f"SELECT score, {BORN} FROM json_each(?) JOIN score ON score.birth = json_each.value "
        "JOIN birth USING (birth) JOIN genome USING (digest)",
        (json.dumps([int(birth) for birth in births]),),
    )
    found = {born[0]: (text, born) for text, *born in rows}
    records = []
    for birth in births:
        assert birth in found, f"birth {birth} has no score"
        text, born = found[birth]
        records.append(as_record(born[0], born[1], _proposal(vault, born), decode(text, vault)))
    return records


def as_record(birth: int, name: str, proposal: Proposal[Genome], score: Score) -> Record[Genome]:
    """The record of `birth`, whose genome has the digest `name`."""
    p = proposal
    return Record(birth, p.genome, name, score, p.rung, p.parents, p.operator, p.facts)


def unfinished(database: sqlite3.Connection, vault: Vault) -> list[Open]:
    """Every birth that is written and not committed, by number."""
    (written,) = database.execute("SELECT COALESCE(MAX(birth) + 1, 0) FROM birth").fetchone()
    done = bytearray(written)  # a byte a birth: the index alone is read, no row
    for (birth,) in database.execute("SELECT birth FROM score WHERE commit_order IS NOT NULL"):
        done[birth] = 1
    births = [birth for birth, told in enumerate(done) if not told]
    rows = database.execute(
        f"SELECT score, {BORN} FROM json_each(?) JOIN birth ON birth.birth = json_each.value "
        "LEFT JOIN score USING (birth) LEFT JOIN genome USING (digest) ORDER BY birth.birth",
        (json.dumps(births),),
    ).fetchall()
    found = []
    for text, *born in rows:
        birth, name, rung, parents, operator, facts, *_ = born
        found.append(
            Open(
                birth,
                name,
                None if name is None else _proposal(vault, born),
                rung,
                tuple(json.loads(parents)),
                operator,
                json.loads(facts),
                None if text is None else decode(text, vault),
            )
        )
    return found


def known(
    database: sqlite3.Connection, vault: Vault, name: str, rung: int
) -> tuple[int, Score] | None:
    """The first birth of genome digest `name` at `rung` whose score answers its twins."""
    # With a bare `digest = ?` SQLite would put its value into substr() and lose the index.
    row = database.execute(
        "SELECT birth, score FROM birth INDEXED BY birth_key JOIN score USING (birth) "
        "WHERE substr(digest, 1, 12) = substr(?, 1, 12) AND rung = ? AND +digest = ? "
        f"AND twin_of IS NULL AND (error IS NULL OR error IN ({REUSED})) "
        "ORDER BY birth LIMIT 1",
        (name, rung, name),
    ).fetchone()
    return None if row is None else (row[0], decode(row[1], vault))


def digest_of(database: sqlite3.Connection) -> str:
    """sha256 of genomes, scores, origins and commit order."""
    content = hashlib.sha256()
    rows = database.execute(
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


def _proposal(vault: Vault, born: Sequence[Any]) -> Proposal[Genome]:
    _, _, rung, parents, operator, facts, kind, genome_facts, arrays = born
    packed = Packed(json.loads(genome_facts), {} if arrays is None else vault.get(arrays))
    genome = class_of(kind).unpack(packed)
    return Proposal(genome, tuple(json.loads(parents)), operator, rung, json.loads(facts))


def outcomes(database: sqlite3.Connection) -> dict[str, int]:
    """How many attempts ended in which way."""
    rows = database.execute(
        "SELECT COALESCE(outcome, 'in flight'), COUNT(*) FROM attempt GROUP BY 1"
    )
    return dict(rows.fetchall())


def refusals(database: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """How many attempts to vary were infertile, by (operator, reason), most first."""
    rows = database.execute(
        "SELECT operator, COALESCE(detail, ''), COUNT(*) FROM attempt JOIN birth USING (birth) "
        "WHERE outcome = 'infertile' GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
    )
    return {(operator, reason): n for operator, reason, n in rows}
