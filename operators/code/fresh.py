"""Independent samples around the start program: the baseline that evolution has to beat.

Whatever the parents are, a child is the start program after `steps` mutations. That such plain
sampling can rival the evolution of code: arXiv 2602.16805, "Simple Baselines are Competitive with
Code Evolution".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evolve.errors import ExperimentError, Infertile
from evolve.genome import digest
from evolve.genomes.program.program import Program
from evolve.score import Needs, Record, Score
from evolve.variation import Offspring, Operator, offspring

_TRIES = 20


@dataclass(frozen=True, eq=False)
class Fresh:
    """`operators`: mutations, drawn with `weights` (default: equal). Raises `ExperimentError` for
    those that take more than one parent."""

    start: Program
    operators: tuple[Operator[Program], ...]
    steps: int = 1
    weights: tuple[float, ...] | None = None
    name: str = "fresh"
    arity: int = 1
    needs: Needs | None = None

    def __post_init__(self) -> None:
        wide = [operator.name for operator in self.operators if operator.arity != 1]
        if wide or not self.operators:
            raise ExperimentError(
                f"Fresh needs operators of one parent each; {wide or 'none'} were given; give "
                "operators.code.mutators()."
            )
        if self.steps < 1:
            raise ExperimentError(f"Fresh.steps is {self.steps}; give 1 or more.")
        if self.weights is not None and len(self.weights) != len(self.operators):
            raise ExperimentError(
                f"Fresh has {len(self.weights)} weights for {len(self.operators)} operators."
            )

    def vary(
        self, parents: Sequence[Record[Program]], rng: np.random.Generator
    ) -> Offspring[Program]:
        """Raises `Infertile` if the mutations find nothing to change."""
        child, told = self.start, []
        for _ in range(self.steps):
            found = self._step(child, rng)
            child = found.genome
            told.append(str(found.facts.get("change", "")))
        return Offspring(child, {"change": " | ".join(told)})

    def _step(self, program: Program, rng: np.random.Generator) -> Offspring[Program]:
        shares = np.asarray(self.weights or np.ones(len(self.operators)), dtype=np.float64)
        unborn = Record(0, program, digest(program), Score.failed("unborn: a step of Fresh"))
        for _ in range(_TRIES):
            at = int(rng.choice(len(self.operators), p=shares / shares.sum()))
            try:
                return offspring(self.operators[at].vary([unborn], rng))
            except Infertile as error:
                reason = str(error)
        raise Infertile(f"{self.name} found no mutation in {_TRIES} draws; the last: {reason}")
