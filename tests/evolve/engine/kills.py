"""Killing drivers at random moments, and starting them again."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def survive(command: Sequence[str], folder: Path, births: int, kills: int, seed: int) -> int:
    """Run `command` to its end, killing it up to `kills` times on the way; kills that hit."""
    chance, hits = random.Random(seed), 0
    while True:
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        if hits < kills:
            wait_and_kill(process.pid, folder, births, kills - hits, chance)
        _, errors = process.communicate(timeout=600)
        if process.returncode == 0:
            return hits
        assert process.returncode == -signal.SIGKILL, errors
        hits += 1


def wait_and_kill(
    pid: int, folder: Path, births: int, kills_left: int, chance: random.Random
) -> None:
    """SIGKILL `pid` a random moment after a random share of the births left is scored."""
    done = scored(folder)
    aim = done + (births - done) * chance.random() / kills_left
    while scored(folder) < aim:
        if _gone(pid):
            return
        time.sleep(0.001)
    time.sleep(chance.random() * 0.02)
    os.kill(pid, signal.SIGKILL)


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


def _gone(pid: int) -> bool:
    """Whether our child `pid` has ended; leaves it to be waited for."""
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, pid, flags) is not None
