"""Killing drivers at random moments, and starting them again."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def survive(command: Sequence[str], folder: Path, births: int, kills: int, seed: int) -> int:
    """Run `command` to its end, killing it up to `kills` times on the way; kills that hit."""
    chance, hits = random.Random(seed), 0
    while driven(command, folder, births, kills - hits, chance) != 0:
        hits += 1
    return hits


def killed(command: Sequence[str], folder: Path, births: int, seed: int) -> None:
    """Run `command` and kill it on the way. Who resumes in this process saves the imports."""
    assert driven(command, folder, births, 1, random.Random(seed)) != 0, "it came to its end"


def driven(
    command: Sequence[str], folder: Path, births: int, kills_left: int, chance: random.Random
) -> int:
    """Run `command` once and kill it on the way if kills are left; 0 if it came to its end."""
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)

    def gone() -> bool:
        """Whether it has ended; leaves it to be waited for."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, process.pid, flags) is not None

    if kills_left and reached(folder, births, kills_left, chance, gone):
        os.kill(process.pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=600)
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode


def reached(
    folder: Path, births: int, kills_left: int, chance: random.Random, gone: Callable[[], bool]
) -> bool:
    """Wait until a random moment after a random share of the births left is scored.

    False, and at once, if the driver is `gone` before.
    """
    done = scored(folder)
    aim = done + (births - done) * chance.random() / kills_left
    while scored(folder) < aim:
        if gone():
            return False
        time.sleep(0.003)
    time.sleep(chance.random() * 0.02)
    return True


def scored(folder: Path) -> int:
    """How many births are scored in the ledger now; 0 if there is none."""
    if not (folder / "ledger.sqlite").exists():
        return 0
    database = sqlite3.connect(f"file:{folder / 'ledger.sqlite'}?mode=ro", uri=True)
    try:
        return int(database.execute("SELECT COUNT(*) FROM score").fetchone()[0])
    except sqlite3.OperationalError:  # between the driver's own statements at its start
        return 0
    finally:
        database.close()
