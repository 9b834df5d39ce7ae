"""What a run's bits depend on: versions, code, machine. Written into the ledger each epoch."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from evolve.genome import Json

PACKAGES = ("evolve", "torch", "numpy", "ray", "evox", "optuna", "mergekit", "transformers")


def fingerprint() -> dict[str, Json]:
    """Python, packages, machine, and the threads and device every evaluation runs with."""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": 1,
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "argv": list(sys.argv),
    }


def commit_of(folder: Path) -> str:
    """The git commit that `folder` is at, with `+changes` if it is not clean; "" if none."""
    try:
        head = _git(folder, "rev-parse", "HEAD")
        changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return head + ("+changes" if changes else "")


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
