"""The log of a run: one JSON line an event, in RUN/log.jsonl. Knows no ledger, no search.

For people and for tools that follow a file; the truth is in the ledger, which is why nothing
here may stop a run: when the disk is full the log ends, and says so once.

Left out are `queue` (every round of the loop has one; the metrics show it) and a worker's
`busy` and its way back to `ready` (they repeat `dispatched` and `answered`). What stays is about
0.4 kB a birth. At `LIMIT` bytes the file becomes log.1.jsonl, in place of the one before.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from evolve.engine.events import Event, Kind
from evolve.engine.states import WorkerState

LIMIT = 32 << 20  # bytes a file; with two of them, the last 150,000 births or so
HEAD, TAIL = 100, 400  # characters of a detail: its kind, and the last lines of a traceback

_text = json.JSONEncoder(separators=(",", ":")).encode


class Log:
    """An observer that appends to `path`; call it from one thread."""

    def __init__(
        self, path: Path, limit: int = LIMIT, says: Callable[[str], None] | None = None
    ) -> None:
        self._path = path
        self._limit = limit
        self._says = says or _to_stderr
        self._busy: set[str] = set()  # workers
        self._file: IO[bytes] | None = None
        self._size = 0
        try:
            self._open()
        except OSError as error:
            self._end(error)

    def __call__(self, event: Event) -> None:
        if self._file is None or not self._worth(event):
            return
        line = line_of(event, time.time())
        try:
            if self._size and self._size + len(line) > self._limit:
                self._file.close()
                os.replace(self._path, self._path.with_name(f"{self._path.stem}.1.jsonl"))
                self._open()
            written = self._file.write(line)
            self._size += written
            if written < len(line):
                raise OSError(f"{written} of {len(line)} bytes were written")
        except OSError as error:
            self._end(error)

    def close(self) -> None:
        """Close the file; later events are dropped."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        cut_torn_line(self._path)
        # Unbuffered: a line is one write, which a kill cannot part from what was acknowledged.
        self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115
        self._size = self._file.tell()

    def _worth(self, event: Event) -> bool:
        if event.kind is Kind.QUEUE:
            return False
        if event.kind is not Kind.WORKER:
            return True
        if event.detail == WorkerState.BUSY.value:
            self._busy.add(event.worker)
            return False
        if event.worker in self._busy:
            self._busy.remove(event.worker)
            return event.detail != WorkerState.READY.value
        return True

    def _end(self, error: OSError) -> None:
        try:
            self.close()
        except OSError:
            self._file = None
        self._says(
            f"Cannot write to the log {self._path}: {error}. The run goes on without it; all "
            "births and scores are in the ledger."
        )


def line_of(event: Event, now: float) -> bytes:
    """`event` as one line of ASCII JSON, without the fields that it has not."""
    row: dict[str, str | int | float] = {"time": round(now, 6), "kind": event.kind.value}
    if event.birth is not None:
        row["birth"] = event.birth
    if event.attempt is not None:
        row["attempt"] = event.attempt
    if event.epoch is not None:
        row["epoch"] = event.epoch
    if event.worker:
        row["worker"] = event.worker
    if event.seconds is not None:
        row["seconds"] = round(event.seconds, 6)
    if event.count is not None:
        row["count"] = event.count
    if event.detail:
        row["detail"] = _cut(event.detail)
    return f"{_text(row)}\n".encode("ascii")


def cut_torn_line(path: Path) -> None:
    """Remove what follows the last line end of `path`: a killed or full write left it.

    Without this the first line written after it would become a part of it.
    """
    if not path.is_file():
        return
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - (1 << 16))  # far more than a line has
        file.seek(start)
        whole = start + file.read().rfind(b"\n") + 1
        if whole < size:
            file.truncate(whole)


def _cut(detail: str) -> str:
    if len(detail) <= HEAD + TAIL:
        return detail
    return f"{detail[:HEAD]} [...] {detail[-TAIL:]}"


def _to_stderr(words: str) -> None:
    print(f"evolve: {words}", file=sys.stderr)
