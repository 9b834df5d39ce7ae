"""A fitness that writes down what it scored, and can be interrupted. For this process only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from evolve import Experiment, Final, Needs, Objective, Score
from evolve.genome import digest
from evolve.genomes.vector import Vector
from fitness.problems import Formula, Problem, dtlz2
from tests.evolve.engine.problems import dtlz


@dataclass(frozen=True)
class Noted:
    """A problem of three objectives; `calls` holds the digests of what was scored, in order.

    Fails on the digests in `failing`; Ctrl-C comes when `stop` calls are written.
    """

    calls: list[str]
    formula: Formula = dtlz2
    failing: frozenset[str] = frozenset()
    stop: int | None = None
    needs: Needs = field(default_factory=Needs)
    rungs: tuple[int, ...] = (1,)
    objectives: tuple[Objective, ...] = Problem(dtlz2, 3).objectives

    def evaluate(self, genomes: Sequence[Vector], rung: int, seed: int) -> list[Score]:
        return [self._score(genome) for genome in genomes]

    def _score(self, genome: Vector) -> Score:
        if len(self.calls) == self.stop:
            raise KeyboardInterrupt
        self.calls.append(digest(genome))
        if self.calls[-1] in self.failing:
            raise RuntimeError("the test cannot bear this genome")
        return Score(tuple(self.formula(genome.values, 3)))


def noted(
    births: int, calls: list[str], *, stop: int | None = None, final: Final[Vector] | None = None
) -> Experiment[Vector]:
    """`dtlz(births)` under a `Noted`; the same run."""
    return replace(dtlz(births), fitness=Noted(calls, stop=stop), final=final)
