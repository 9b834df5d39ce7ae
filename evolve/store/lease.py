"""Who may write a run: the lock on RUN/lock, and a heartbeat for hosts that it does not reach.

On one host the kernel's lock (flock) decides alone: it is held until its process is gone, also
while that process is stopped. Between hosts a file system may not honour it; there the file's
time decides: the holder touches it every `BEAT` seconds, and another host may take over once it
is `EXPIRED` seconds old. Whoever was only frozen then meets the ledger's epoch. Times are
compared on the file system that keeps them, so the clocks of hosts do not matter. Knows no
ledger.
"""

from __future__ import annotations

import fcntl
import math
import os
import platform
import tempfile
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO

from evolve.errors import StoreError

LOCK = "lock"
BEAT, EXPIRED = 5.0, 60.0  # seconds
BOOT = Path("/proc/sys/kernel/random/boot_id")


class Lease:
    """A driver's hold on a run directory, from `take` to `release`."""

    def __init__(self, file: IO[bytes], path: Path, text: str) -> None:
        self._file = file
        self._text = text
        self._path = path
        self._over = threading.Event()
        self._heart = threading.Thread(
            target=_beat, args=(path, text, self._over), name="evolve lease", daemon=True
        )
        self._heart.start()
        weakref.finalize(self, self._over.set)  # forgotten, not released: the heart stops too

    @classmethod
    def take(cls, folder: Path) -> Lease:
        """The lease of `folder`. Raises `StoreError` that says who holds it."""
        path = folder / LOCK
        try:
            file = path.open("a+b", buffering=0)
        except OSError as error:
            raise StoreError(f"Cannot write to the run directory {folder}: {error}.") from error
        try:
            _refuse_held(folder, file)
            text = f"process {os.getpid()} on {platform.node()}\n{here()}"
            file.truncate(0)
            file.write(text.encode())
        except BaseException as error:
            file.close()
            if isinstance(error, OSError):
                raise StoreError(
                    f"Cannot lock the run directory {folder}: {error}; make room or mend that, "
                    "then try again."
                ) from error
            raise
        return cls(file, path, text)

    def release(self) -> None:
        """Let go, so that nobody needs to wait."""
        self._over.set()
        self._heart.join()
        with suppress(OSError):
            if self._path.read_text() == self._text:
                self._file.truncate(0)
        self._file.close()


def _beat(path: Path, text: str, over: threading.Event) -> None:
    while not over.wait(BEAT):
        with suppress(OSError):  # without a heartbeat the epoch still fences
            if path.read_text() != text:
                return  # another host took it while this process was frozen
            os.utime(path)


def here() -> str:
    """What one kernel's processes share and no other's: its boot, else the host's name."""
    with suppress(OSError):
        return BOOT.read_text().strip()
    return platform.node()


def _refuse_held(folder: Path, file: IO[bytes]) -> None:
    """Lock `file`, or raise `StoreError` that names who holds it."""
    file.seek(0)
    holder, _, kernel = file.read().decode(errors="replace").partition("\n")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StoreError(
            f"{folder} is being written by a live run ({holder or 'another process'}); wait for "
            "it, or stop it first."
        ) from error
    if kernel in ("", here()):
        return  # released, or its process is gone: one kernel's lock does not lie
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b".")
        probe.flush()
        now = os.fstat(probe.fileno()).st_mtime
    left = EXPIRED - (now - os.fstat(file.fileno()).st_mtime)
    if left > 0:
        raise StoreError(
            f"{folder} is being written by a run on another host ({holder}), which this file "
            f"system does not lock out; stop it first, or, if it is gone, wait "
            f"{math.ceil(left)} s and try again."
        )
