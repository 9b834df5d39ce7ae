"""Whole files at a place: a local folder, or anything that fsspec knows by URL.

A file is there whole or not at all: it is written under another name, then moved. Knows neither
vault nor ledger, and no credentials: those are the file system's own (fsspec, "Configuration").
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from evolve.errors import StoreError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


class Place(Protocol):
    """Files by name, e.g. `ab/cd.safetensors`. What cannot be done is raised as `OSError`."""

    def has(self, name: str) -> bool: ...
    def read(self, name: str) -> bytes:
        """Raises `FileNotFoundError` if there is none."""
        ...

    def write(self, name: str, content: bytes) -> None: ...
    def put(self, file: Path, name: str) -> None:
        """Like `write`, with the content of a local `file`, which may be large."""
        ...

    def names(self) -> set[str]:
        """All files below; none if there is no such folder."""
        ...


def place_of(where: str | Path) -> Place:
    """The folder or URL `where`. Raises `StoreError` for a URL whose protocol is not there."""
    if not _is_url(where):
        path = str(where)
        return Folder(Path(urlsplit(path).path if path.startswith("file://") else path))
    from fsspec.core import url_to_fs

    try:
        system, root = url_to_fs(str(where))
    except (ImportError, ValueError, OSError) as error:
        raise StoreError(
            f"Cannot use {where}: {error}; give a folder, or a URL whose file system fsspec can "
            "open here (its package installed, its credentials set)."
        ) from error
    return Remote(system, root.rstrip("/"))


def settled(where: str) -> str:
    """`where` as every process finds it: an absolute path, or the URL. Raises `StoreError`."""
    place = place_of(where)
    return str(place.path.absolute()) if isinstance(place, Folder) else where


def _is_url(where: str | Path) -> bool:
    text = str(where)
    return not isinstance(where, Path) and "://" in text and not text.startswith("file://")


class Folder:
    """A local folder, made at the first write; every file is synced before it has its name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def has(self, name: str) -> bool:
        return (self.path / name).exists()

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        with self._renamed(name) as file:
            file.write(content)

    def put(self, file: Path, name: str) -> None:
        with file.open("rb") as source, self._renamed(name) as target:
            shutil.copyfileobj(source, target, 1 << 20)

    def names(self) -> set[str]:
        files = (file for file in self.path.rglob("*") if file.is_file())
        return {file.relative_to(self.path).as_posix() for file in files}

    @contextmanager
    def _renamed(self, name: str) -> Iterator[IO[bytes]]:
        """A file under another name, which is synced and becomes `name`."""
        path = self.path / name
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


class Remote:
    """A folder of an fsspec file system."""

    def __init__(self, system: AbstractFileSystem, root: str) -> None:
        self._system = system
        self._root = root

    def has(self, name: str) -> bool:
        with _as_os_error():
            return bool(self._system.exists(f"{self._root}/{name}"))

    def read(self, name: str) -> bytes:
        with _as_os_error():
            return bytes(self._system.cat_file(f"{self._root}/{name}"))

    def write(self, name: str, content: bytes) -> None:
        with _as_os_error(), self._moved(name) as temporary:
            self._system.pipe_file(temporary, content)

    def put(self, file: Path, name: str) -> None:
        with _as_os_error(), self._moved(name) as temporary:
            self._system.put_file(str(file), temporary)

    def names(self) -> set[str]:
        with _as_os_error():
            self._system.invalidate_cache()  # another host may have written
            found = self._system.find(self._root)
        return {str(path)[len(self._root) :].lstrip("/") for path in found}

    @contextmanager
    def _moved(self, name: str) -> Iterator[str]:
        """Another name to write to, which becomes `name`."""
        folder, _, base = f"{self._root}/{name}".rpartition("/")
        self._system.makedirs(folder, exist_ok=True)
        temporary = f"{folder}/.{base}.{os.getpid()}"
        yield temporary
        self._system.mv(temporary, f"{folder}/{base}")


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Clients of other people's services raise what they like: one class for all of it."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
