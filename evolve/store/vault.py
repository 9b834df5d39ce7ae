"""Arrays by content: named by the sha256 of their safetensors bytes, written once.

Small payloads are rows beside the ledger's own (one transaction, no fsync a birth); large ones
are files in a folder or at an fsspec URL, there whole before any row names them. Knows neither
genomes nor scores.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from evolve.errors import StoreError
from evolve.store.files import place_of

INLINE = 1 << 16  # bytes: up to here a payload is a row


class Vault:
    """Payloads of one run: rows of `database` and files at `where`, a folder or a URL."""

    def __init__(self, where: str | Path, database: sqlite3.Connection) -> None:
        self.where = where
        self._files = place_of(where)
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
            return key
        try:
            if not self._files.has(_name(key)):
                self._files.write(_name(key), payload)
        except OSError as error:
            raise StoreError(
                f"Cannot write {len(payload):,} bytes to {self.where}: "
                f"{error.strerror or error}. What was scored is safe; make room, then resume the "
                "run."
            ) from error
        return key

    def get(self, key: str) -> dict[str, np.ndarray]:
        """The arrays at `key`. Raises `StoreError` if they are missing or not what was put."""
        row = self._row(key)
        return self.large(key) if row is None else self._arrays(key, row)

    def large(self, key: str) -> dict[str, np.ndarray]:
        """The arrays of the file of `key`; works also when the database is closed."""
        try:
            payload = self._files.read(_name(key))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreError(
                f"The vault has no payload {key[:12]}; was {self.where} moved?"
            ) from error
        except OSError as error:
            raise StoreError(
                f"Cannot read the payload {key[:12]} in {self.where}: {error.strerror or error}; "
                "mend that, then try again."
            ) from error
        return self._arrays(key, payload)

    def lazy(self, key: str) -> Mapping[str, np.ndarray]:
        """The arrays at `key`; a file is read at first use, also after the ledger is closed."""
        row = self._row(key)
        return _Lazy(self, key) if row is None else self._arrays(key, row)

    def _arrays(self, key: str, payload: bytes) -> dict[str, np.ndarray]:
        from safetensors.numpy import load

        if hashlib.sha256(payload).hexdigest() != key:
            raise StoreError(
                f"The payload {key[:12]} in {self.where} was changed or truncated; "
                "restore the run directory from a copy."
            )
        return dict(sorted(load(payload).items()))  # safetensors gives them in any order

    def _row(self, key: str) -> bytes | None:
        row = self._database.execute("SELECT data FROM payload WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])


def _name(key: str) -> str:
    return f"{key[:2]}/{key}.safetensors"


class _Lazy(Mapping[str, np.ndarray]):
    """A payload that is read when it is first looked into."""

    def __init__(self, vault: Vault, key: str) -> None:
        self._vault = vault
        self._key = key
        self._arrays: dict[str, np.ndarray] | None = None

    def _loaded(self) -> dict[str, np.ndarray]:
        if self._arrays is None:
            self._arrays = self._vault.large(self._key)
        return self._arrays

    def __reduce__(self) -> tuple[type[dict[str, np.ndarray]], tuple[dict[str, np.ndarray]]]:
        return (dict, (self._loaded(),))  # to a worker go the arrays: it has no vault

    def __getitem__(self, name: str) -> np.ndarray:
        return self._loaded()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded())

    def __len__(self) -> int:
        return len(self._loaded())
