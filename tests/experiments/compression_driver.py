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
    """Bits, on 64 and 128 tokens, sixteen profiles a call as shipped; no final test."""
    stories = study(Mode.BITS)
    fitness = Divergence(stories.space, stories.text[:2, :64], (1, 2), batch=OFFSPRING)
    return replace(ours(stories), fitness=fitness, births=births, final=None)


def main() -> None:
    folder, workers, births = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    resume = (folder / "ledger.sqlite").exists()
    print(evolve.run(small(births), folder, workers=workers, resume=resume).digest)


if __name__ == "__main__":
    main()
