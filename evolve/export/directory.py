"""A directory that appears whole or not at all. Knows nothing of what is in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evolve.errors import ExportError


def refuse_existing(to: Path) -> None:
    """Raise `ExportError` if something is at `to`: asked before any work is done."""
    if to.exists() or to.is_symlink():
        raise ExportError(f"{to} exists already; export to a new directory, or remove it first.")


@contextmanager
def appearing(to: Path) -> Iterator[Path]:
    """A scratch directory beside `to`, synced and renamed to it when the block succeeds.

    A failure removes it; a SIGKILL leaves it under its own hidden name (`.NAME.part-*`),
    never at `to`. Raises `ExportError` if `to` exists or the disk refuses.
    """
    refuse_existing(to)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{to.name}.part-", dir=to.parent))
    except OSError as error:
        raise ExportError(
            f"Nothing can be written beside {to} ({error.strerror}); export elsewhere."
        ) from error
    try:
        scratch.chmod(0o755)  # mkdtemp is private to its owner
        yield scratch
        for path in scratch.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)  # safetensors: for its owner alone
            _sync(path)
        _sync(scratch)
        refuse_existing(to)  # someone else may have been faster
        scratch.rename(to)
        _sync(to.parent)
    except OSError as error:
        raise ExportError(
            f"The export to {to} failed ({error.strerror or error}) and left nothing there; "
            "make room on the disk or export elsewhere, then export again."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
