"""A driver of a small search for a profile of stories15M, to be killed: FOLDER WORKERS BIRTHS."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import evolve
from evolve import Experiment
from evolve.genomes.compression.profile import CompressionProfile
from experiments.arms import ours
from experiments.compress_stories import study
from experiments.profiles import OFFSPRING, Mode
from fitness.divergence import Divergence


def small(births: int) -> Experiment[CompressionProfile]:
    """Bits, on 64, 128 and 384 tokens, sixteen profiles a call as shipped; no final test."""
    stories = study(Mode.BITS)
    made = ours(stories)
    n = len(made.fitness.rungs) - 2  # first stages, each on a sequence behind the first two
    fitness = Divergence(
        stories.space,
        stories.text[:6, :64],
        (*[1] * n, 2, 6),
        batch=OFFSPRING,
        starts=(*(2 + i % 4 for i in range(n)), 0, 0),
    )
    return replace(made, fitness=fitness, births=births, final=None)


def main() -> None:
    folder, workers, births = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    resume = (folder / "ledger.sqlite").exists()
    print(evolve.run(small(births), folder, workers=workers, resume=resume).digest)


if __name__ == "__main__":
    main()
