"""Folders made once and kept in a cache: whole or absent, whoever else makes them at that time.

Knows no content. `EVOLVE_CACHE` moves the cache (default `~/.cache/evolve`).
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache() -> Path:
    """The folder of everything that is made from material."""
    root = os.environ.get("EVOLVE_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "evolve") / "material"


def folder(name: str, write: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache; `write` fills it under a temporary name if it is absent.

    `name` says what is in it (end it with a digest): a folder that exists is taken as it is.
    """
    target = cache() / name
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
        try:
            write(fresh)
            for path in fresh.iterdir():
                path.chmod(0o644)
            fresh.chmod(0o755)
            _publish(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return target


def _publish(fresh: Path, target: Path) -> None:
    try:
        fresh.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was first, with the same bytes
            raise
