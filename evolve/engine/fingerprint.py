"""What a run's bits depend on: versions, code, machine. Written into the ledger each epoch."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from evolve.genome import Json

PACKAGES = ("evolve", "torch", "numpy", "ray", "evox", "optuna", "mergekit", "transformers")


def fingerprint(gpus: float = 0.0) -> dict[str, Json]:
    """Python, packages, machine, and the threads and device every evaluation runs with.

    `gpus`: how many an evaluation needs; the device is that of this process.
    """
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": 1,
        "device": _device(gpus),
        "instructions": _instructions(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "argv": list(sys.argv),
    }


def changes(then: Json, now: Mapping[str, Json]) -> str:
    """Which versions of two fingerprints differ, e.g. `torch 2.1 -> 2.2`; "" if none."""
    old, new = _versions(then), _versions(now)
    return ", ".join(
        f"{name} {old.get(name, 'none')} -> {new.get(name, 'none')}"
        for name in (*new, *(name for name in old if name not in new))
        if old and old.get(name) != new.get(name)
    )


def commit_of(folder: Path) -> str:
    """The git commit that `folder` is at, with `+changes` if it is not clean; "" if none."""
    try:
        head = _git(folder, "rev-parse", "HEAD")
        changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return head + ("+changes" if changes else "")


def _device(gpus: float) -> str:
    if not gpus:
        return "cpu"
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cuda of the workers"


def _instructions() -> str | None:
    """The vector instructions torch uses, e.g. AVX512; None where torch is not loaded."""
    if "torch" not in sys.modules:  # its import takes seconds
        return None
    import torch

    return torch.backends.cpu.get_cpu_capability()


def _versions(fingerprint: Json) -> dict[str, Json]:
    if not isinstance(fingerprint, Mapping):  # a ledger that was made without one
        return {}
    packages = fingerprint.get("packages")
    found = dict(packages) if isinstance(packages, Mapping) else {}
    return {"python": fingerprint["python"], **found} if "python" in fingerprint else found


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
