"""A driver of a small merge run, to be killed: FOLDER WORKERS BIRTHS."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import evolve
from evolve import Experiment
from evolve.genomes.merge import MergeRecipe
from experiments.merge_stories import experiment, losses


def small(births: int) -> Experiment[MergeRecipe]:
    """The demo with two sequences a domain, without its final test."""
    return replace(experiment, fitness=losses("validation", 2, 129), births=births, final=None)


def main() -> None:
    folder, workers, births = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    resume = (folder / "ledger.sqlite").exists()
    print(evolve.run(small(births), folder, workers=workers, resume=resume).digest)


if __name__ == "__main__":
    main()
