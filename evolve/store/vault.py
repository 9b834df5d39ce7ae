"""Arrays by content: named by the sha256 of their safetensors bytes, written once.

Small payloads are rows beside the ledger's own (one transaction, no fsync a birth); large ones
are files, written under a temporary name, synced and renamed before any row names them.
Knows neither genomes nor scores.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from evolve.errors import StoreError

INLINE = 1 << 16  # bytes: up to here a payload is a row


class Vault:
    """Payloads of one run: rows of `database` and files in `folder`."""

    def __init__(self, folder: Path, database: sqlite3.Connection) -> None:
        self.folder = folder
        self._database = database

    def put(self, arrays: Mapping[str, np.ndarray]) -> str:
        """The key (sha256, hex) under which `arrays` now lie. Raises `StoreError`."""
        from safetensors.numpy import save

        payload = save({name: np.asarray(arrays[name], order="C") for name in sorted(arrays)})
        key = hashlib.sha256(payload).hexdigest()
        if len(payload) <= INLINE:
            self._database.execute(
                "INSERT OR IGNORE INTO payload (key, data) VALUES (?, ?)", (key, payload)
            )
        elif not self._file(key).exists():
            self._write(self._file(key), payload)
        return key

    def get(self, key: str) -> dict[str, np.ndarray]:
        """The arrays at `key`. Raises `StoreError` if they are missing or not what was put."""
        from safetensors.numpy import load

        if self._file(key).exists():
            payload = self._file(key).read_bytes()
        elif (row := self._row(key)) is not None:
            payload = row
        else:
            raise StoreError(f"The vault has no payload {key[:12]}; was {self.folder} moved?")
        if hashlib.sha256(payload).hexdigest() != key:
            raise StoreError(
                f"The payload {key[:12]} in {self.folder} was changed or truncated; "
                "restore the run directory from a copy."
            )
        return dict(load(payload))

    def lazy(self, key: str) -> Mapping[str, np.ndarray]:
        """The arrays at `key`; a file is read at first use, also after the ledger is closed."""
        return _Lazy(self, key) if self._file(key).exists() else self.get(key)

    def _row(self, key: str) -> bytes | None:
        row = self._database.execute("SELECT data FROM payload WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def _write(self, path: Path, payload: bytes) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise StoreError(
                f"Cannot write {len(payload):,} bytes to {self.folder}: {error.strerror}. "
                "What was scored is safe; make room, then resume the run."
            ) from error


class _Lazy(Mapping[str, np.ndarray]):
    """A payload that is read when it is first looked into."""

    def __init__(self, vault: Vault, key: str) -> None:
        self._vault = vault
        self._key = key
        self._arrays: dict[str, np.ndarray] | None = None

    def _loaded(self) -> dict[str, np.ndarray]:
        if self._arrays is None:
            self._arrays = self._vault.get(self._key)
        return self._arrays

    def __getitem__(self, name: str) -> np.ndarray:
        return self._loaded()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded())

    def __len__(self) -> int:
        return len(self._loaded())
