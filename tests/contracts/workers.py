"""What every executor keeps; subclass and give `workers`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evolve import Needs, Objective, Score
from evolve.engine.workers import Job, Outcome, Workers, packed
from evolve.genomes.vector import Box, Vector

BOX = Box.of(-1.0, 1.0, 3)


@dataclass(frozen=True)
class Sums:
    """Scores the sum of the genes; raises for a sum below -1; carries what it was asked."""

    objectives: tuple[Objective, ...] = (Objective("sum", maximise=True),)
    rungs: tuple[int, ...] = (1, 4)
    needs: Needs = field(default_factory=Needs)

    def evaluate(self, genomes: Sequence[Vector], rung: int, seed: int) -> list[Score]:
        return [self._one(genome, rung, seed) for genome in genomes]

    def _one(self, genome: Vector, rung: int, seed: int) -> Score:
        total = float(genome.values.sum())
        if total < -1:
            raise ArithmeticError("the sum is too small")
        return Score(
            (total,),
            metrics={"rung": float(rung), "seed": float(seed)},
            samples=(np.full(2, total, np.float32),),
            heritage={"genes": genome.values * 2},
        )


def job(*values: float, births: Sequence[int] = (0,)) -> Job:
    """One vector of three equal genes a value."""
    genomes = tuple(packed(Vector(np.full(3, value), BOX)) for value in values)
    return Job(tuple(births), (1,) * len(genomes), 1, genomes, rung=1, seed=42)


class WorkersContract:
    slots = 1

    def workers(self, fitness: object, slots: int) -> Workers:
        raise AssertionError("give the workers under test")

    def outcomes(self, *jobs: Job, fitness: object = None) -> list[Outcome]:
        workers = self.workers(fitness or Sums(), self.slots)
        try:
            assert workers.slots == workers.free == self.slots
            queue, found = list(jobs), []
            while len(found) < len(jobs):
                while queue and workers.free:
                    workers.submit(queue.pop(0))
                found += workers.wait()
            assert workers.free == self.slots
            return sorted(found, key=lambda outcome: outcome.job.births)
        finally:
            workers.close()

    def test_a_job_comes_back_with_its_scores(self) -> None:
        (outcome,) = self.outcomes(job(0.1, 0.2, births=(4, 5)))
        assert outcome.scores is not None
        assert outcome.job.births == (4, 5)
        assert [s.values[0] for s in outcome.scores] == [
            float(np.full(3, v).sum()) for v in (0.1, 0.2)
        ]
        first = outcome.scores[0]
        assert first.metrics == {"rung": 1.0, "seed": 42.0}
        assert first.samples is not None
        assert first.samples[0].dtype == np.float32
        assert first.heritage is not None
        np.testing.assert_array_equal(first.heritage["genes"], np.full(3, 0.2))
        assert outcome.seconds >= 0
        assert outcome.worker

    def test_every_job_comes_back_once(self) -> None:
        found = self.outcomes(*(job(i / 20, births=(i,)) for i in range(12)))
        assert [outcome.job.births for outcome in found] == [(i,) for i in range(12)]

    def test_an_exception_is_an_outcome_with_its_traceback(self) -> None:
        good, bad = self.outcomes(job(0.5), job(-1.0, births=(1,)))
        assert good.scores is not None
        assert bad.scores is None
        assert bad.failure == "exception"
        assert "ArithmeticError: the sum is too small" in bad.detail

    def test_a_genome_of_an_unknown_class_is_an_outcome(self) -> None:
        unknown = replace(job(0.5), genomes=(("no.such.module:Thing", job(0.5).genomes[0][1]),))
        (outcome,) = self.outcomes(unknown)
        assert outcome.scores is None
        assert "no.such.module" in outcome.detail
