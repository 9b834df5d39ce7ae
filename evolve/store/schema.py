"""The ledger's tables. `FORMAT` changes when a reader of the old form would be wrong.

A birth goes through: a row in `birth` (written before it is submitted; without a digest while it
is only planned), a row in `attempt` for each time it is handed to a worker, a row in `score` when
a result (or a final failure) arrives, and its `commit_order` when that score is told to the
search. `epoch` counts the drivers that have held the run; an attempt belongs to one epoch, and
its `late` is when a result came for it that was refused. `snapshot` is what a search gave to be
restored from.

`birth_key` finds the births of a genome. It holds the first characters of a digest: the whole
one is compared in the row.
"""

from enum import StrEnum

FORMAT = 2


class Stage(StrEnum):
    """What an attempt was for."""

    VARY = "vary"  # an operator makes the child
    EVALUATE = "evaluate"  # a fitness scores it


TABLES = """
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE epoch (
    epoch INTEGER PRIMARY KEY, started REAL NOT NULL, pid INTEGER NOT NULL, host TEXT NOT NULL,
    facts TEXT NOT NULL
);
CREATE TABLE payload (key TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE genome (
    digest TEXT PRIMARY KEY, kind TEXT NOT NULL, facts TEXT NOT NULL, arrays TEXT
) WITHOUT ROWID;
CREATE TABLE birth (
    birth INTEGER PRIMARY KEY, epoch INTEGER NOT NULL REFERENCES epoch,
    digest TEXT REFERENCES genome, rung INTEGER NOT NULL, parents TEXT NOT NULL,
    operator TEXT NOT NULL, facts TEXT NOT NULL
);
CREATE INDEX birth_key ON birth (substr(digest, 1, 12), rung);
CREATE TABLE attempt (
    birth INTEGER NOT NULL REFERENCES birth, attempt INTEGER NOT NULL, stage TEXT NOT NULL,
    epoch INTEGER NOT NULL REFERENCES epoch, started REAL NOT NULL, ended REAL,
    worker TEXT, outcome TEXT, detail TEXT, late REAL, PRIMARY KEY (birth, attempt)
) WITHOUT ROWID;
CREATE TABLE score (
    birth INTEGER PRIMARY KEY REFERENCES birth, commit_order INTEGER UNIQUE,
    epoch INTEGER NOT NULL REFERENCES epoch, twin_of INTEGER REFERENCES birth,
    seconds REAL NOT NULL, error TEXT, score TEXT NOT NULL
);
CREATE TABLE snapshot (commit_order INTEGER PRIMARY KEY, facts TEXT NOT NULL, arrays TEXT);
CREATE TABLE final (
    split TEXT NOT NULL, digest TEXT NOT NULL REFERENCES genome, seconds REAL NOT NULL,
    score TEXT NOT NULL, PRIMARY KEY (split, digest)
) WITHOUT ROWID;
CREATE TABLE final_row (
    position INTEGER PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES genome, birth INTEGER REFERENCES birth
);
"""
