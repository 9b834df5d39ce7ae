"""An experiment on programs that nobody runs: what they would learn is written in their text.

Loaded by its path too, by the exported retrain.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from evolve import Experiment, Final, Genetic, Steady
from evolve.export.program import ProgramExporter
from evolve.genomes.program.program import Program
from evolve.score import Needs, Objective, Record, Score

SOURCE = """WIDTH = 1

# EVOLVE-BLOCK-START width
WIDTH = 4  # of the layer
# EVOLVE-BLOCK-END


def predict(weights, inputs):
    return inputs * weights["w"].sum()
"""
START = Program({"net.py": SOURCE, "parts/loss.py": "def loss(x):\n    return x"})


@dataclass(frozen=True)
class Trained:
    """Training is drawing WIDTH normal numbers; `split` is the second thing they depend on."""

    split: int = 0
    keep: bool = True
    rungs: tuple[int, ...] = (3,)
    needs: Needs = field(default_factory=Needs)
    objectives: tuple[Objective, ...] = (Objective("accuracy", maximise=True), Objective("size"))

    def evaluate(self, genomes: Sequence[Program], rung: int, seed: int) -> list[Score]:
        return [self._evaluated(genome, rung, seed) for genome in genomes]

    def _evaluated(self, program: Program, rung: int, seed: int) -> Score:
        found = re.search(r"^WIDTH = (\d+)", program.regions["width"], re.MULTILINE)
        if found is None:
            return Score.failed("exception: no width", {"detail": "Traceback ..."})
        width = int(found[1])
        weights = np.random.default_rng([self.split, seed]).normal(size=width)
        inherited = program.inherited.get("w", np.zeros(width))
        weights += inherited if len(inherited) == width else 0
        return Score(
            (float(np.tanh(np.abs(weights).sum())), float(width)),
            metrics={"epochs": float(program.epochs + self.rungs[rung])},
            notes={"isolation": "full: in a thought"},
            heritage={"w": weights.astype(np.float32)} if self.keep else None,
        )


@dataclass(frozen=True)
class Widen:
    name: str = "widen"
    arity: int = 1
    needs: Needs | None = None

    def vary(self, parents: Sequence[Record[Program]], rng: np.random.Generator) -> Program:
        width = int(rng.integers(2, 9))
        return parents[0].genome.swapped({"width": f"WIDTH = {width}  # drawn"})


def search() -> Genetic[Program]:
    from operators.selection import NSGA2, Tournament  # torch, which retrain.py does not need

    return Genetic(
        founders=[START],
        operators=[Widen()],
        selection=NSGA2(),
        mating=Tournament(),
        objectives=Trained().objectives,
        size=4,
        pace=Steady(window=2),
    )


exporter = ProgramExporter(START, Trained(), str(Path(__file__)))
experiment = Experiment(
    name="code_toy",
    search=search,
    fitness=Trained(),
    births=8,
    seed=5,
    final=Final(Trained(split=1), {"start": [START]}, exporter),
)
untested = replace(experiment, final=None)
