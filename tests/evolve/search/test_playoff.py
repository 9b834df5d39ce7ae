"""Playoff: the contract, who the finalists are, and whose word is the last."""

from __future__ import annotations

import numpy as np
import pytest

from evolve.errors import ExperimentError
from evolve.genomes.vector import Vector
from evolve.score import Record, Score, costs
from evolve.search.playoff import Playoff
from tests.contracts.search import SearchContract, drive, proposed, told_record
from tests.evolve.search.test_stages import BOX, COST, staged


def playoff(births: int = 60, n: int = 4) -> Playoff[Vector]:
    """Founders at rung 1, six children a generation at rung 0, one of them at rung 1."""
    return Playoff(staged(4, (1, 1)), COST, births=births, n=n, rung=2)


class TestPlayoff(SearchContract[Vector]):
    births = 304
    goal_births = 304

    def search(self) -> Playoff[Vector]:
        return playoff(births=300)

    def template(self) -> Vector:
        return Vector(np.full(4, 0.25), BOX)

    def test_elites_hold_the_best(self) -> None:
        """Of those that reached the playoff's rung, or the one below."""
        search = self.search()
        records = drive(search, self.births, self.score)
        done = [r for r in records if r.rung >= 1]
        best = costs([r.score for r in done], self.objectives).sum(1).min()
        assert costs([r.score for r in search.elites], self.objectives).min() == best


def distance(genome: Vector) -> Score:
    return Score((float(np.abs(genome.values - 0.4).sum()),))


def test_the_best_of_the_rung_below_play_and_the_best_of_them_is_the_elite() -> None:
    search = playoff()
    records = drive(search, 64, distance)
    field = {r.digest: r for r in records[:60] if r.rung == 1}
    best = sorted(field.values(), key=lambda r: r.score.values)[:4]
    assert [(r.digest, r.parents, r.operator, r.rung) for r in records[60:]] == [
        (each.digest, (each.birth,), "promotion", 2) for each in best
    ]
    assert [r.birth for r in search.elites] == [60]
    # More samples turn the order round.
    search = playoff()
    records = drive(search, 60, distance)
    before = search.elites[0].birth
    for birth in range(60, 64):
        asked = search.ask(birth, np.random.default_rng(0))
        told = Record(
            birth, asked.genome, "", Score((float(64 - birth),)), 2, asked.parents, "promotion"
        )
        search.tell(told, np.random.default_rng(0))
    assert before < 60
    assert [r.birth for r in search.elites] == [63]


def test_too_few_finalists_come_again() -> None:
    search = playoff(births=4, n=6)  # the founders
    records = drive(search, 10, distance)
    digests = [r.digest for r in records[4:]]
    assert digests[:2] == digests[4:]
    assert len(set(digests)) == 4


def test_failed_ones_play_last_and_are_no_elite() -> None:
    def failing(genome: Vector) -> Score:
        return Score.failed("invalid: no") if genome.values[0] > 0.3 else distance(genome)

    search = playoff(births=4, n=4)
    records = drive(search, 8, failing)
    errors = [r.score.error is None for r in records[4:]]
    assert errors == sorted(errors, reverse=True)
    assert all(r.score.error is None for r in search.elites)


def test_bad_numbers_and_an_empty_field_are_refused() -> None:
    for name in ("births", "n", "rung"):
        with pytest.raises(ExperimentError, match=f"Playoff.{name} is 0; give 1 or more"):
            Playoff(staged(), COST, **{"births": 1, "n": 1, "rung": 1, name: 0})  # type: ignore[arg-type]
    search = Playoff(staged(), COST, births=4, n=1, rung=5)
    drive(search, 4, distance)
    with pytest.raises(ExperimentError, match="no record of rung 4 in 4 births"):
        search.ask(4, np.random.default_rng(0))


def test_infeasible_ones_are_no_elite() -> None:
    search = playoff(births=4, n=2)
    drive(search, 4, distance)
    before = [r.birth for r in search.elites]
    assert before
    for birth in (4, 5):
        told = told_record(birth, proposed(search, birth), Score((0.0,), violation=1.0))
        search.tell(told, np.random.default_rng(0))
    assert [r.birth for r in search.elites] == before
