"""The population: its size, one record a digest, one rung, and who mates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from evolve.archive.population import Population
from evolve.genomes.vector import Vector
from evolve.score import Objective, Score
from evolve.streams import Stream, rng_for
from evolve.variation import Mating
from operators.selection import NSGA2, NSGA3, Tournament, Truncation, das_dennis
from tests.evolve.cases import FG, F, failure, record


def dice(n: int = 0) -> np.random.Generator:
    return rng_for(0, n, Stream.TELL)


def births(population: Population[Vector]) -> list[int]:
    return [each.birth for each in population.records]


def test_it_grows_to_its_size_and_stays() -> None:
    population: Population[Vector] = Population(3, Truncation(), F)
    for n in range(8):
        population.admit([record(n, [float(n % 4)])], dice(n))
        assert len(population) == min(n + 1, 3)
    assert sorted(each.score.values[0] for each in population.records) == [0.0, 0.0, 1.0]


def test_the_best_survive_in_order_of_birth() -> None:
    population: Population[Vector] = Population(2, Truncation(), F)
    population.admit([record(n, [v]) for n, v in enumerate([5.0, 1.0, 4.0, 0.5])], dice())
    assert births(population) == [1, 3]


def test_what_is_maximised_survives_by_the_greatest() -> None:
    population: Population[Vector] = Population(2, Truncation(), (Objective("f", maximise=True),))
    population.admit([record(n, [v]) for n, v in enumerate([5.0, 1.0, 4.0, 0.5])], dice())
    assert births(population) == [0, 2]


def test_failures_stay_out() -> None:
    population: Population[Vector] = Population(4, Truncation(), F)
    population.admit([failure(0), record(1, [1.0]), failure(2)], dice())
    assert births(population) == [1]
    assert failure(0).digest not in population


def test_a_digest_lives_once_as_its_latest_record() -> None:
    population: Population[Vector] = Population(4, Truncation(), F)
    population.admit([record(0, [1.0], x=0.5), record(1, [2.0])], dice())
    population.admit([record(2, [1.0], x=0.5)], dice())
    assert births(population) == [1, 2]
    assert record(9, [0.0], x=0.5).digest in population


def test_rungs_are_not_mixed() -> None:
    population: Population[Vector] = Population(4, Truncation(), F)
    population.admit([record(0, [0.0]), record(1, [0.1])], dice())
    population.admit([record(2, [9.0], rung=1)], dice())
    assert births(population) == [2]
    population.admit([record(3, [0.0])], dice())
    assert births(population) == [2]
    population.admit([record(4, [8.0], x=0.0, rung=1)], dice())  # the promotion of birth 0
    assert births(population) == [2, 4]


def test_infeasible_records_survive_only_for_want_of_feasible_ones() -> None:
    population: Population[Vector] = Population(2, Truncation(), F)
    population.admit([record(0, [0.0], violation=2.0), record(1, [0.0], violation=1.0)], dice())
    population.admit([record(2, [50.0])], dice())
    assert births(population) == [1, 2]
    population.admit([record(3, [60.0])], dice())
    assert births(population) == [2, 3]


@pytest.mark.parametrize("values", [(0.0,), (-5.0,), (1e6,), (1e9,)])
def test_infeasible_records_lose_every_tournament(values: tuple[float, ...]) -> None:
    """Also where all costs are equal or the infeasible one's are by far the least."""
    population: Population[Vector] = Population(4, Truncation(), F)
    population.admit([record(0, [1e9]), record(1, values, violation=1e-9)], dice())
    greedy = Tournament(size=64)  # sees both records, all but surely
    chosen = {p.birth for n in range(8) for p in population.parents(greedy, 4, dice(n))}
    assert chosen == {0}


def test_among_infeasible_records_the_lesser_violation_wins() -> None:
    population: Population[Vector] = Population(4, NSGA2(), FG)
    population.admit(
        [record(0, [0.0, 0.0], violation=3.0), record(1, [5.0, 5.0], violation=1.0)], dice()
    )
    chosen = population.parents(Tournament(size=64), 8, dice())
    assert {parent.birth for parent in chosen} == {1}


def test_same_dice_same_survivors_and_parents() -> None:
    def one() -> tuple[list[int], list[int]]:
        population: Population[Vector] = Population(6, NSGA3(das_dennis(2, 3)), FG)
        for n in range(30):
            noise = rng_for(5, n, Stream.ASK).random(2)
            population.admit([record(n, noise.tolist())], dice(n))
        parents = population.parents(Tournament(), 5, dice(99))
        return births(population), [parent.birth for parent in parents]

    assert one() == one()


class Spy:
    """A mating that takes the first rows and remembers what it was shown."""

    def __init__(self) -> None:
        self.samples: list[Sequence[np.ndarray] | None] = []

    def __call__(
        self,
        costs: torch.Tensor,
        samples: Sequence[np.ndarray] | None,
        n_parents: int,
        *,
        generator: torch.Generator,
    ) -> torch.Tensor:
        self.samples.append(samples)
        return torch.arange(n_parents)


def test_a_mating_sees_samples_when_all_have_them() -> None:
    spy = Spy()
    assert isinstance(spy, Mating)
    population: Population[Vector] = Population(4, NSGA2(), FG)
    rows = [(np.full(3, n, np.float32), np.full(5, 10 + n, np.float32)) for n in range(2)]
    population.admit([record(n, [1.0, 2.0], samples=rows[n]) for n in range(2)], dice())
    population.parents(spy, 2, dice())
    seen = spy.samples[-1]
    assert seen is not None
    assert [each.shape for each in seen] == [(2, 3), (2, 5)]
    assert seen[1][:, 0].tolist() == [10.0, 11.0]

    population.admit([record(2, [0.0, 0.0])], dice())
    population.parents(spy, 2, dice())
    assert spy.samples[-1] is None


def test_samples_that_cannot_be_paired_are_not_shown() -> None:
    spy = Spy()
    population: Population[Vector] = Population(4, Truncation(), F)
    population.admit([record(n, [1.0], samples=(np.zeros(n + 1),)) for n in range(2)], dice())
    population.parents(spy, 2, dice())
    assert spy.samples == [None]


def test_an_objective_that_overflows_the_costs_is_no_crash() -> None:
    population: Population[Vector] = Population(2, Truncation(), F)
    population.admit([record(n, [v]) for n, v in enumerate([1.7e308, -1.7e308, 0.0])], dice())
    assert births(population) == [1, 2]
    assert Score((1.7e308,)).error is None


def test_restored_it_goes_on_as_it_was() -> None:
    rng = dice()
    records = [
        record(n, [float(v)], x=float(x), violation=float(c))
        for n, (v, x, c) in enumerate(rng.integers(0, 9, (60, 3)) * [1, 1 / 20, 1 / 8])
    ]
    records[50] = record(50, [3.0], x=0.3, rung=1)
    one: Population[Vector] = Population(6, Truncation(), F)
    for cut in range(len(records)):
        two: Population[Vector] = Population(6, Truncation(), F)
        two.restore(one.records, one.memory)
        for each in (one, two):
            each.admit(records[cut : cut + 2], dice(cut))
        assert births(two) == births(one)
        parents = [each.parents(Tournament(), 4, dice(cut)) for each in (one, two)]
        assert parents[0] == parents[1]
    assert births(one) == [50]


def test_selection_and_mating_see_logarithms_of_what_counts_by_ratio() -> None:
    seen: list[float] = []

    def spy(costs: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        seen.extend(costs[:, 0].tolist())
        return torch.zeros(1, dtype=torch.int64)

    population: Population[Vector] = Population(4, Truncation(), (Objective("size", log=True),))
    population.admit([record(n, [10.0**n]) for n in range(3)], dice())
    population.parents(spy, 1, dice())
    assert seen == pytest.approx([0.0, np.log(10.0), np.log(100.0)])
