"""What every fitness must keep. Subclass it, give `fitness` and `genomes` as fixtures."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

from evolve.genome import Genome, digest
from evolve.score import Fitness, Needs, Nested, Objective, Score, checked

SEED = 7


def same(a: Score, b: Score) -> bool:
    """Equal bit for bit, samples and all."""

    def plain(score: Score) -> tuple[object, ...]:
        samples = [(s.dtype.str, s.tobytes()) for s in score.samples or ()]
        heritage = {name: array.tobytes() for name, array in (score.heritage or {}).items()}
        numbers = (score.values, score.violation, score.measures, dict(score.metrics))
        return (*numbers, dict(score.notes), samples, heritage, score.error)

    return plain(a) == plain(b)


class FitnessContract:
    """Fixtures of the subclass: `fitness`, and `genomes`, three or more that score differently.

    `misfit`, if given, is a genome that cannot be scored.
    """

    @pytest.fixture
    def misfit(self) -> Genome | None:
        return None

    def test_it_declares_itself(self, fitness: Fitness[Genome]) -> None:
        names = [objective.name for objective in fitness.objectives]
        assert names
        assert len(set(names)) == len(names)
        assert all(isinstance(objective, Objective) for objective in fitness.objectives)
        assert fitness.rungs
        assert list(fitness.rungs) == sorted(set(fitness.rungs))
        assert fitness.rungs[0] >= 1
        assert isinstance(fitness.needs, Needs)

    def test_one_valid_score_a_genome(
        self, fitness: Fitness[Genome], genomes: list[Genome]
    ) -> None:
        for rung in range(len(fitness.rungs)):
            scores = fitness.evaluate(genomes, rung, SEED)
            assert len(scores) == len(genomes)
            for score in scores:
                assert score.error is None, score.error
                assert checked(score, fitness.objectives).error is None
                numbers = [*score.values, score.violation, *score.metrics.values()]
                assert all(type(number) is float for number in numbers)
                assert all(math.isfinite(value) for value in score.metrics.values())
                if score.samples is not None:
                    assert len(score.samples) == len(fitness.objectives)
                    assert all(s.ndim == 1 and s.dtype == np.float32 for s in score.samples)

    def test_scores_keep_the_order_of_genomes(
        self, fitness: Fitness[Genome], genomes: list[Genome]
    ) -> None:
        there = fitness.evaluate(genomes, 0, SEED)
        back = fitness.evaluate(genomes[::-1], 0, SEED)[::-1]
        assert len({score.values for score in there}) == len(genomes)
        assert all(same(a, b) for a, b in zip(there, back))

    def test_a_score_does_not_depend_on_its_companions(
        self, fitness: Fitness[Genome], genomes: list[Genome]
    ) -> None:
        together = fitness.evaluate(genomes, 0, SEED)
        alone = [fitness.evaluate([genome], 0, SEED)[0] for genome in genomes]
        assert all(same(a, b) for a, b in zip(together, alone))

    def test_a_nested_fitness_goes_on_from_the_rung_below(
        self, fitness: Fitness[Genome], genomes: list[Genome]
    ) -> None:
        if not isinstance(fitness, Nested):
            return
        for rung in range(len(fitness.rungs)):
            whole = fitness.evaluate(genomes, rung, SEED)
            known: list[Score | None] = [None] * len(genomes)
            if rung:
                known[::2] = fitness.evaluate(genomes[::2], rung - 1, SEED + 1)
            for a, b in zip(whole, fitness.extend(genomes, known, rung, SEED), strict=True):
                work = {"tokens": a.metrics.get("tokens", 0.0)}  # as much, or less
                assert b.metrics.get("tokens", 0.0) <= work["tokens"]
                assert dict(b.metrics) | work == pytest.approx(dict(a.metrics) | work)
                assert same(replace(a, metrics={}), replace(b, metrics={}))

    def test_same_seed_same_bits(self, fitness: Fitness[Genome], genomes: list[Genome]) -> None:
        first, second = (fitness.evaluate(genomes[:1], 0, SEED)[0] for _ in range(2))
        assert same(first, second)

    def test_a_pickled_copy_scores_the_same(
        self, fitness: Fitness[Genome], genomes: list[Genome]
    ) -> None:
        copied = pickle.loads(pickle.dumps(fitness))
        assert copied.objectives == fitness.objectives
        assert copied.rungs == fitness.rungs
        assert copied.needs == fitness.needs
        scores = (one.evaluate(genomes[:1], 0, SEED)[0] for one in (fitness, copied))
        assert same(*scores)

    def test_genomes_are_left_as_they_were(
        self, fitness: Fitness[Genome], genomes: list[Genome]
    ) -> None:
        before = [digest(genome) for genome in genomes]
        fitness.evaluate(genomes, 0, SEED)
        assert [digest(genome) for genome in genomes] == before

    def test_the_empty_batch_has_no_scores(self, fitness: Fitness[Genome]) -> None:
        assert fitness.evaluate([], 0, SEED) == []

    def test_a_failed_evaluation_is_data_and_its_companions_are_scored(
        self, fitness: Fitness[Genome], genomes: list[Genome], misfit: Genome | None
    ) -> None:
        if misfit is None:
            return
        alone = fitness.evaluate(genomes[:1], 0, SEED)[0]
        failed, scored = fitness.evaluate([misfit, genomes[0]], 0, SEED)
        assert failed.error is not None
        assert failed.error.split(":")[0] in ("invalid", "exception")
        assert failed.values == ()
        assert same(scored, alone)
