"""Runs a command as a user without rights, on a machine whose Python that user could not open.

    python as_nobody.py COMMAND...

In a mount namespace of its own, root's closed home is replaced by an open one that holds only
the interpreter; then the command is executed as uid 65534, as a plain user's own process is.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3]))

from fitness.sandbox.inside import kernel

NOBODY = 65534


def main() -> None:
    kernel.unshare(kernel.NEWNS)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    home = closed(Path(sys.base_prefix))
    if home is not None:
        held = os.open(sys.base_prefix, os.O_PATH)
        kernel.mount("none", str(home), "tmpfs", 0, "mode=755")
        os.makedirs(sys.base_prefix)
        source = f"/proc/self/fd/{held}"
        kernel.mount(source, sys.base_prefix, "", kernel.MS_BIND | kernel.MS_REC)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    os.execv(sys.argv[1], sys.argv[1:])


def closed(path: Path) -> Path | None:
    """The topmost folder above `path` that others may not enter."""
    for folder in reversed(path.parents):
        if not folder.stat().st_mode & 0o001:
            return folder
    return None


main()
