"""A child that begins with the tensors its first parent had trained. Knows neither shapes nor
training: what does not fit is left out where the program is trained.

Off unless an operator is wrapped. The epochs behind the tensors are carried along, so that
candidates can be compared at equal training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evolve.genomes.program.program import Program
from evolve.score import Needs, Record
from evolve.variation import Learning, Offspring, Operator, offspring, placed


@dataclass(frozen=True)
class Inheriting:
    """`operator`, whose children inherit. Heritage comes from the parent's score, epochs from its
    metric `epochs`; a parent without heritage has children that learn from scratch."""

    operator: Operator[Program]

    @property
    def name(self) -> str:
        return self.operator.name

    @property
    def arity(self) -> int:
        return self.operator.arity

    @property
    def needs(self) -> Needs | None:
        return self.operator.needs

    @property
    def lessons(self) -> int:
        """As many failures as the operator learns from."""
        return self.operator.lessons if isinstance(self.operator, Learning) else 0

    def at(self, folder: Path) -> Inheriting:
        """The same, of an operator that keeps its own files in `folder`."""
        return Inheriting(placed(self.operator, folder))

    def vary(
        self, parents: Sequence[Record[Program]], rng: np.random.Generator
    ) -> Offspring[Program]:
        """Raises `Infertile` where the operator does."""
        found = offspring(self.operator.vary(parents, rng))
        score = parents[0].score
        if not score.heritage:
            return found
        epochs = int(score.metrics.get("epochs", 0))
        child = replace(found.genome, inherited=dict(score.heritage), epochs=epochs)
        return Offspring(child, {**found.facts, "inherited": len(score.heritage)})
