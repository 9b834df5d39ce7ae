"""Drivers to be killed.

    python -m tests.evolve.engine.driver run FOLDER WORKERS MODE
    python -m tests.evolve.engine.driver kill FOLDER MODE KILLS SEED

`kill` imports everything once, then forks one driver after another and kills it with SIGKILL, so
that twenty kills do not cost twenty imports. MODE: ordered, batched, free.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import evolve
from tests.evolve.engine.kills import wait_and_kill
from tests.evolve.engine.problems import dtlz

BIRTHS = 200


def drive(folder: Path, workers: int, mode: str) -> str:
    """Begin or resume the run in `folder`; its digest."""
    experiment = dtlz(
        BIRTHS,
        seconds=0.004,
        tail=1.0,
        order=evolve.Free() if mode == "free" else evolve.Ordered(),
        batch=2 if mode == "batched" else 1,
    )
    resume = (folder / "ledger.sqlite").exists()
    return evolve.run(experiment, folder, workers=workers, resume=resume).digest


def kill(folder: Path, mode: str, kills: int, seed: int) -> int:
    """Run to the end through `kills` kills in this process; how many hit."""
    import moocore  # noqa: F401  (what a driver needs is there before the fork)
    import torch  # noqa: F401

    chance, hits = random.Random(seed), 0
    while True:
        child = os.fork()
        if child == 0:
            drive(folder, 0, mode)
            os._exit(0)
        if hits < kills:
            wait_and_kill(child, folder, BIRTHS, kills - hits, chance)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0, "the driver failed by itself"
            return hits
        hits += 1


def main() -> None:
    what, folder, *rest = sys.argv[1:]
    if what == "run":
        print(drive(Path(folder), int(rest[0]), rest[1]))
    else:
        print(kill(Path(folder), rest[0], int(rest[1]), int(rest[2])))


if __name__ == "__main__":
    main()
