"""A worker's process: its memory is held, and it ends with its node."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import evolve
from evolve import Experiment, Needs, Objective, Score
from evolve.genomes.vector import Vector
from tests.evolve.engine.kills import ROOT
from tests.evolve.engine.problems import single_search

HELD = """
import numpy as np
import torch
from evolve.engine.cluster.evaluator import hold_memory
from evolve.engine.workers import _is_memory
kept = np.ones(10 << 20)
hold_memory(200 << 20)
np.ones(10 << 20)
try:
    np.ones(60 << 20)
except MemoryError:
    print("held")
try:
    torch.ones(60 << 20, dtype=torch.float64)
except RuntimeError as error:
    print("torch", _is_memory(error))
np.ones(10 << 20)
print("lives")
"""


def test_memory_is_held_and_the_process_survives() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELD], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["held", "torch", "True", "lives"], done.stderr


@dataclass(frozen=True)
class Hungry:
    """Takes 600 MB for small first genes."""

    needs: Needs = field(default_factory=lambda: Needs(memory=300 << 20))
    objectives: tuple[Objective, ...] = (Objective("loss"),)
    rungs: tuple[int, ...] = (1,)

    def evaluate(self, genomes: list[Vector], rung: int, seed: int) -> list[Score]:
        (genome,) = genomes
        first = float(genome.values[0])
        if first < 0.3:
            np.ones(75 << 20)
        return [Score((first,))]


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_what_takes_too_much_is_out_of_memory_and_costs_no_worker(tmp_path: Path) -> None:
    experiment = Experiment("hungry", single_search, Hungry(), 10)
    run = evolve.run(experiment, tmp_path / "run", workers=1)
    poor = [record for record in run.records if record.score.error is not None]
    assert poor
    assert len(run.records) == 10
    assert all(str(record.score.error).startswith("out of memory") for record in poor)
    assert all(record.genome.values[0] < 0.3 for record in poor)
    assert run.outcomes["out of memory"] == 2 * len({record.digest for record in poor})
    assert "worker lost" not in run.outcomes
