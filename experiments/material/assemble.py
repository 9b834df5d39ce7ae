"""A full checkpoint directory from the base and an expert's blocks, kept in a cache.

The directory is named by the digest of what goes in.
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from experiments.material import cached
from experiments.material.manifest import read, verified

WEIGHTS = "model.safetensors"


def expert(domain: str, base_files: Sequence[str]) -> Path:
    """The directory of the expert of `domain`; `base_files` start with the base's weights."""
    names = [*base_files, f"experts/{domain}/blocks.safetensors", f"experts/{domain}/README.md"]
    pins = read()
    digest = hashlib.sha256("".join(pins.get(name, "") for name in names).encode()).hexdigest()

    def write(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        weights, *others, blocks, card = verified(names)
        save_file(load_file(weights) | load_file(blocks), folder / WEIGHTS, {"format": "pt"})
        for path in (*others, card):  # the expert's card comes last, over the base's
            shutil.copyfile(path, folder / path.name)

    return cached.folder(f"{domain}-{digest[:16]}", write)
