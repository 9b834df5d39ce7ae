"""A full checkpoint directory from the base and an expert's blocks, kept in a cache.

The directory is named by the digest of what goes in, written under a temporary name and renamed:
it is whole or absent, whoever else builds it at the same time. `EVOLVE_CACHE` moves the cache.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from experiments.material.manifest import read, verified

WEIGHTS = "model.safetensors"


def expert(domain: str, base_files: Sequence[str]) -> Path:
    """The directory of the expert of `domain`; `base_files` start with the base's weights."""
    names = [*base_files, f"experts/{domain}/blocks.safetensors", f"experts/{domain}/README.md"]
    pins = read()
    digest = hashlib.sha256("".join(pins.get(name, "") for name in names).encode()).hexdigest()
    target = cache() / f"{domain}-{digest[:16]}"
    if not target.is_dir():
        weights, *others, blocks, card = verified(names)
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{domain}-", dir=target.parent))
        try:
            _write(fresh, weights, blocks, [*others, card])
            _publish(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return target


def cache() -> Path:
    """The folder of assembled checkpoints."""
    root = os.environ.get("EVOLVE_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "evolve") / "material"


def _write(folder: Path, weights: Path, blocks: Path, others: Sequence[Path]) -> None:
    from safetensors.torch import load_file, save_file

    save_file(load_file(weights) | load_file(blocks), folder / WEIGHTS, {"format": "pt"})
    for path in others:  # the expert's card comes last, over the base's
        shutil.copyfile(path, folder / path.name)
    for path in folder.iterdir():
        path.chmod(0o644)
    folder.chmod(0o755)


def _publish(fresh: Path, target: Path) -> None:
    try:
        fresh.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was first, with the same bytes
            raise
