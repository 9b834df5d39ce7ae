"""What every executor keeps; subclass and give `workers`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evolve import Needs, Objective, Record, Score
from evolve.engine.workers import Job, Outcome, Task, Variation, Workers, packed, sent
from evolve.errors import Infertile
from evolve.genome import class_of
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

    def end(self, workers: Workers) -> None:
        """A test is done with them."""
        workers.close()

    def outcomes(self, *tasks: Task, fitness: object = None) -> list[Outcome]:
        workers = self.workers(fitness or Sums(), self.slots)
        try:
            assert workers.slots == self.slots
            queue, found, needs = list(tasks), list[Outcome](), tasks[0].needs
            while workers.free(needs) < self.slots:
                workers.wait()
            while len(found) < len(tasks):
                while queue and workers.free(needs):
                    workers.submit(queue.pop(0))
                found += workers.wait()
            while workers.free(needs) < self.slots:
                workers.wait()
            return sorted(found, key=lambda outcome: outcome.task.births)
        finally:
            self.end(workers)

    def test_a_job_comes_back_with_its_scores(self) -> None:
        (outcome,) = self.outcomes(job(0.1, 0.2, births=(4, 5)))
        assert outcome.answer.scores is not None
        assert outcome.task.births == (4, 5)
        assert [s.values[0] for s in outcome.answer.scores] == [
            float(np.full(3, v).sum()) for v in (0.1, 0.2)
        ]
        first = outcome.answer.scores[0]
        assert first.metrics == {"rung": 1.0, "seed": 42.0}
        assert first.samples is not None
        assert first.samples[0].dtype == np.float32
        assert first.heritage is not None
        np.testing.assert_array_equal(first.heritage["genes"], np.full(3, 0.2))
        assert outcome.answer.seconds >= 0
        assert outcome.worker

    def test_every_job_comes_back_once(self) -> None:
        found = self.outcomes(*(job(i / 20, births=(i,)) for i in range(12)))
        assert [outcome.task.births for outcome in found] == [(i,) for i in range(12)]

    def test_an_exception_is_an_outcome_with_its_traceback(self) -> None:
        good, bad = self.outcomes(job(0.5), job(-1.0, births=(1,)))
        assert good.answer.scores is not None
        assert bad.answer.scores is None
        assert bad.answer.failure == "exception"
        assert "ArithmeticError: the sum is too small" in bad.answer.detail

    def test_a_genome_of_an_unknown_class_is_an_outcome(self) -> None:
        unknown = replace(job(0.5), genomes=(("no.such.module:Thing", job(0.5).genomes[0][1]),))
        (outcome,) = self.outcomes(unknown)
        assert outcome.answer.scores is None
        assert "no.such.module" in outcome.answer.detail

    def test_a_variation_comes_back_with_its_child(self) -> None:
        (outcome,) = self.outcomes(variation(Twice()))
        assert outcome.answer.child is not None
        kind, content = outcome.answer.child
        child = class_of(kind).unpack(content)
        assert isinstance(child, Vector)
        np.testing.assert_array_equal(child.values, np.full(3, 0.8))

    def test_an_infertile_operator_is_an_outcome(self) -> None:
        (outcome,) = self.outcomes(variation(Twice(infertile=True)))
        assert outcome.answer.child is None
        assert outcome.answer.failure == "infertile"
        assert "no child of 0.4" in outcome.answer.detail


@dataclass(frozen=True)
class Twice:
    """The child is twice its parent, plus the parent's own heritage."""

    infertile: bool = False
    name: str = "twice"
    arity: int = 1
    needs: Needs = field(default_factory=Needs)

    def vary(self, parents: Sequence[Record[Vector]], rng: np.random.Generator) -> Vector:
        values = parents[0].genome.values
        if self.infertile:
            raise Infertile(f"no child of {values[0]}")
        assert parents[0].score.heritage is not None
        return Vector(values + parents[0].score.heritage["more"], BOX)


def variation(operator: Twice) -> Variation:
    """A child of one vector of 0.4, whose heritage is its own genes again."""
    values = np.full(3, 0.4)
    score = Score((1.2,), heritage={"more": values})
    parent = sent(Record(3, Vector(values, BOX), "digest", score))
    return Variation((7,), (1,), 1, operator, (parent,), seed=5)
