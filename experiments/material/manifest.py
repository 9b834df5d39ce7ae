"""The pins: sha256 of every shipped file, in `MANIFEST.json`. Knows files, not what is in them."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from evolve.errors import CheckpointError

ROOT = Path(__file__).parent
PATH = ROOT / "MANIFEST.json"
SHIPPED = ("base", "experts", "texts")


def sha256(path: Path) -> str:
    """The file's sha256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read() -> dict[str, str]:
    """Relative path -> sha256 of each shipped file, as pinned."""
    pins: dict[str, str] = json.loads(PATH.read_text())
    return pins


def write() -> None:
    """Pin what lies in the shipped folders now."""
    files = sorted(f for folder in SHIPPED for f in (ROOT / folder).rglob("*") if f.is_file())
    pins = {file.relative_to(ROOT).as_posix(): sha256(file) for file in files}
    PATH.write_text(json.dumps(pins, indent=2) + "\n")


def verified(names: Sequence[str]) -> list[Path]:
    """The paths of shipped files, each checked against its pin. Raises CheckpointError."""
    pins = read()
    paths = []
    for name in names:
        path = ROOT / name
        if name not in pins:
            raise CheckpointError(f"{name} is not in {PATH.name}; shipped: {', '.join(pins)}.")
        if not path.is_file():
            raise CheckpointError(f"{path} is missing; restore it with `git checkout -- {path}`.")
        if (found := sha256(path)) != pins[name]:
            raise CheckpointError(
                f"{path} has sha256 {found}, {PATH.name} pins {pins[name]}; "
                f"restore it with `git checkout -- {path}`."
            )
        paths.append(path)
    return paths
