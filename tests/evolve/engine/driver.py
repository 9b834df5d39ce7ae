"""A driver to be killed, with a Ray of its own.

    python -m tests.evolve.engine.driver FOLDER WORKERS MODE

MODE: ordered, batched, free.
"""

from __future__ import annotations

import sys
from pathlib import Path

import evolve
from evolve.genomes.vector import Vector
from tests.evolve.engine.problems import dtlz

BIRTHS = 200


def experiment(mode: str) -> evolve.Experiment[Vector]:
    """With durations so uneven that scores come out of order."""
    return dtlz(
        BIRTHS,
        seconds=0.004,
        tail=1.0,
        order=evolve.Free() if mode == "free" else evolve.Ordered(),
        batch=2 if mode == "batched" else 1,
    )


def main() -> None:
    folder, workers, mode = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    resume = (folder / "ledger.sqlite").exists()
    print(evolve.run(experiment(mode), folder, workers=workers, resume=resume).digest)


if __name__ == "__main__":
    main()
