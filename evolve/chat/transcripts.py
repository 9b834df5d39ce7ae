"""The file `transcripts.jsonl`: one line an exchange, durable when `append` returns.

Knows no endpoint and no caps. A line that a kill tore is at the end and has no line break: it is
not read, and is cut off before the next one is written. One process writes a file at a time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evolve.errors import StoreError

NAME = "transcripts.jsonl"


@dataclass(frozen=True)
class Attempt:
    """A failed attempt, and the tokens it keeps charged because it may have been billed."""

    kind: str
    detail: str
    charged: int


@dataclass(frozen=True)
class Exchange:
    """What was asked, and the answer, or the error that all attempts ended in.

    `charged`, `cost`: counted for all attempts together. `estimated`: the endpoint reported no
    usage. `overrun`: tokens reported beyond what was reserved. `request` is {} once on record.
    """

    key: str
    request: Mapping[str, object]
    reply: str | None
    error: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    overrun: int = 0
    charged: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    attempts: tuple[Attempt, ...] = field(default=())
    replayed: bool = False
    time: str = ""

    def as_line(self) -> bytes:
        """ASCII, so that no byte of it can be cut in a way that reads as something else."""
        data = {
            "key": self.key,
            "request": self.request,
            "reply": self.reply,
            "error": self.error,
            "usage": {"prompt": self.prompt_tokens, "completion": self.completion_tokens},
            "estimated": self.estimated,
            "overrun": self.overrun,
            "charged": self.charged,
            "cost": self.cost,
            "seconds": round(self.seconds, 3),
            "attempts": [[each.kind, each.detail, each.charged] for each in self.attempts],
            "replayed": self.replayed,
            "time": self.time,
        }
        return json.dumps(data).encode("ascii") + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> Exchange:
        """Raises `ValueError`, `KeyError` or `TypeError` for anything but a line of `as_line`."""
        data: dict[str, Any] = json.loads(line)
        return cls(
            key=str(data["key"]),
            request=data["request"],
            reply=None if data["reply"] is None else str(data["reply"]),
            error=data["error"],
            prompt_tokens=int(data["usage"]["prompt"]),
            completion_tokens=int(data["usage"]["completion"]),
            estimated=bool(data["estimated"]),
            overrun=int(data["overrun"]),
            charged=int(data["charged"]),
            cost=float(data["cost"]),
            seconds=float(data["seconds"]),
            attempts=tuple(Attempt(*each) for each in data["attempts"]),
            replayed=bool(data["replayed"]),
            time=str(data["time"]),
        )


class Transcripts:
    """Exchanges by key, of a file that is read as it grows (None: of memory alone).

    Not safe for threads: its owner holds a lock.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._forget()

    def find(self, key: str) -> Exchange | None:
        """The answer to `key`, else the last failure. Raises `StoreError` for a broken file."""
        self._read_on()
        return self._found.get(key)

    def charged(self) -> tuple[int, float]:
        """Tokens and cost of all exchanges."""
        self._read_on()
        return self._tokens, self._cost

    def append(self, exchange: Exchange) -> None:
        """Write `exchange`. Raises `StoreError` if the disk does not take it."""
        if self._file is None:
            self._take(exchange)
            return
        self._read_on()
        line = exchange.as_line()
        try:
            new = not self._file.exists()
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab", buffering=0) as file:
                file.truncate(self._end)  # a torn line, if there is one
                if file.write(line) != len(line):
                    raise OSError("only a part of the line was written")
                os.fsync(file.fileno())
            if new:
                _sync(self._file.parent)
        except OSError as error:
            raise StoreError(
                f"Cannot write the transcript of a request to {self._file}: {error}; make room "
                "or give another folder, and resume."
            ) from error
        self._read_on()

    def _forget(self) -> None:
        self._found: dict[str, Exchange] = {}
        self._end = 0  # bytes of whole lines that were read
        self._inode = 0
        self._lines = 0
        self._tokens = 0
        self._cost = 0.0

    def _read_on(self) -> None:
        """Take the lines that are new; all of them again if the file is another one."""
        if self._file is None:
            return
        try:
            known = self._file.stat()
            if known.st_ino != self._inode or known.st_size < self._end:
                self._forget()
                self._inode = known.st_ino
            if known.st_size == self._end:
                return
            with self._file.open("rb") as file:
                file.seek(self._end)
                text = file.read()
        except FileNotFoundError:
            self._forget()
            return
        except OSError as error:
            raise StoreError(
                f"Cannot read the transcripts in {self._file}: {error}; make them readable."
            ) from error
        for line in text[: text.rfind(b"\n") + 1].splitlines(keepends=True):
            self._lines += 1
            try:
                self._take(Exchange.of_line(line))
            except (ValueError, KeyError, TypeError) as error:
                raise StoreError(
                    f"Line {self._lines} of {self._file} is not the transcript of a request "
                    f"({type(error).__name__}: {error}); remove that line, or take a backup."
                ) from error
            self._end += len(line)

    def _take(self, exchange: Exchange) -> None:
        self._tokens += exchange.charged
        self._cost += exchange.cost
        before = self._found.get(exchange.key)
        if before is None or before.reply is None:
            self._found[exchange.key] = replace(exchange, request={})  # prompts fill memory


def _sync(folder: Path) -> None:
    """Make a new file's entry in its folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
