"""Genetic search: the contract at both paces, its founders, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from evolve.errors import ExperimentError, Infertile
from evolve.genome import digest
from evolve.genomes.vector import Box, Vector
from evolve.score import Needs, Objective, Record, Score
from evolve.search.credit import Bandit
from evolve.search.genetic import TRIES, Generational, Genetic, Steady
from evolve.search.protocol import Plan, Proposal, window_of
from evolve.streams import Stream, rng_for
from evolve.variation import Offspring, Operator
from operators.selection import NSGA2, NSGA3, Tournament, Truncation, das_dennis
from operators.vector import SBX, GaussianMutation, PolynomialMutation, Then
from tests.contracts.search import RestorableContract, drive, lineage, told_record

BOX = Box.of(-1.0, 1.0, 4)
ONE = (Objective("distance"),)
TWO = (Objective("near"), Objective("far", maximise=True))


def founders(n: int = 12) -> list[Vector]:
    return [Vector.random(BOX, rng_for(11, i, Stream.ASK)) for i in range(n)]


def genetic(**changes: Any) -> Genetic[Vector]:
    parts: dict[str, Any] = {
        "founders": founders(),
        "operators": [Then(SBX(), PolynomialMutation()), GaussianMutation()],
        "selection": Truncation(),
        "mating": Tournament(),
        "objectives": ONE,
        "size": 12,
        "pace": Steady(window=6),
    }
    return Genetic(**(parts | changes))


class Contract(RestorableContract[Vector]):
    def template(self) -> Vector:
        return Vector(np.full(BOX.size, 0.25), BOX)


class TestSteady(Contract):
    def search(self) -> Genetic[Vector]:
        return genetic()


class TestBandit(Contract):
    def search(self) -> Genetic[Vector]:
        return genetic(bandit=Bandit(memory=20.0))


class TestGenerational(Contract):
    def search(self) -> Genetic[Vector]:
        return genetic(pace=Generational(offspring=10))


class TestTwoObjectivesSteady(Contract):
    objectives = TWO
    goal = 0.1  # the spheres lie 0.1 apart

    def search(self) -> Genetic[Vector]:
        return genetic(selection=NSGA2(), objectives=TWO)


class TestTwoObjectivesGenerational(Contract):
    objectives = TWO
    goal = 0.1

    def search(self) -> Genetic[Vector]:
        selection = NSGA3(das_dennis(2, 11))
        return genetic(selection=selection, objectives=TWO, pace=Generational(offspring=12))


def score(genome: Any) -> Score:
    return Score((float(((genome.values - 0.25) ** 2).sum()),))


PACES = [Steady(1), Steady(6), Steady(40), Generational(1), Generational(10)]


@pytest.mark.parametrize("pace", PACES, ids=str)
def test_founders_come_first_and_in_order(pace: Steady | Generational) -> None:
    records = drive(genetic(pace=pace), 30, score)
    assert [r.digest for r in records[:12]] == [digest(founder) for founder in founders()]
    assert {r.operator for r in records[:12]} == {"founder"}
    assert "founder" not in {r.operator for r in records[12:]}
    assert all(r.parents == () for r in records[:12])
    assert all(r.parents for r in records[12:])


@pytest.mark.parametrize("pace", PACES, ids=str)
def test_no_founder_waits_and_no_child_is_asked_before_all_founders_are_told(
    pace: Steady | Generational,
) -> None:
    search = genetic(pace=pace)
    assert {search.seen(birth) for birth in range(12)} == {0}
    assert search.seen(12) == 12
    assert min(search.seen(birth) for birth in range(12, 200)) == 12


def test_seen_is_the_rule_of_the_design() -> None:
    steady, generational = genetic(pace=Steady(6)), genetic(pace=Generational(10))
    for birth in range(12, 100):
        assert steady.seen(birth) == max(12, birth - 5)
        assert generational.seen(birth) == 12 + 10 * ((birth - 12) // 10)


def test_the_window_does_not_depend_on_the_founders() -> None:
    assert window_of(genetic(founders=founders(50), pace=Steady(6))) == 6
    assert window_of(genetic(founders=founders(50), pace=Generational(10))) == 10


def test_a_generation_is_selected_once_with_its_parents() -> None:
    search = genetic(pace=Generational(10))
    records = drive(search, 31, score)
    first, second = ({r.birth for r in records[a:b]} for a, b in ((0, 12), (12, 22)))
    assert {p for r in records[12:22] for p in r.parents} <= first
    assert {p for r in records[22:] for p in r.parents} <= first | second
    assert any(p in second for r in records[22:] for p in r.parents)


def test_steady_parents_are_always_told() -> None:
    for record in drive(genetic(), 80, score)[12:]:
        assert all(parent <= record.birth - 6 or parent < 12 for parent in record.parents)


def test_the_front_holds_the_best_and_the_elites_are_it() -> None:
    search = genetic()
    records = drive(search, 60, score)
    best = min(r.score.values[0] for r in records)
    assert [elite.score.values[0] for elite in search.elites] == [best]


def test_operators_share_births_by_weight() -> None:
    operators: list[Operator[Vector]] = [GaussianMutation(), PolynomialMutation()]
    search = genetic(operators=operators, weights=[3, 1])
    names = [r.operator for r in drive(search, 412, score)[12:]]
    share = names.count(operators[0].name) / len(names)
    assert abs(share - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 400)


def test_a_weight_of_zero_is_never_drawn() -> None:
    operators: list[Operator[Vector]] = [GaussianMutation(), PolynomialMutation()]
    search = genetic(operators=operators, weights=[0, 1])
    names = {r.operator for r in drive(search, 60, score)[12:]}
    assert names == {operators[1].name}


@dataclass(frozen=True)
class Copy:
    """A child like its parent; every third draw gives none, or none ever."""

    barren: bool = False
    name: str = "copy"
    arity: int = 1
    needs: Needs | None = None

    def vary(self, parents: Sequence[Record[Vector]], rng: np.random.Generator) -> Vector:
        if self.barren or rng.random() < 1 / 3:
            raise Infertile("no child today")
        return parents[0].genome


def test_a_twin_is_let_through_when_nothing_else_is_found() -> None:
    records = drive(genetic(operators=[Copy()]), 20, score)
    assert {r.digest for r in records[12:]} <= {r.digest for r in records[:12]}


def test_a_new_child_is_preferred_to_a_twin() -> None:
    search = genetic(operators=[Copy(), PolynomialMutation()], weights=[1, 1])
    records = drive(search, 40, score)
    assert "copy" not in {r.operator for r in records[12:]}


def test_a_barren_operator_leaves_the_births_to_the_others() -> None:
    search = genetic(operators=[Copy(barren=True), PolynomialMutation()])
    records = drive(search, 40, score)
    assert {r.operator for r in records[12:]} == {PolynomialMutation().name}


def test_operators_that_are_all_barren_are_an_error_that_names_them() -> None:
    search = genetic(operators=[Copy(barren=True), Copy(barren=True, name="other")])
    with pytest.raises(ExperimentError, match=rf"No child in {TRIES} tries at birth 12.*copy, o"):
        drive(search, 13, score)


def test_when_all_founders_fail_they_are_varied_still() -> None:
    search = genetic()
    records = drive(search, 40, lambda _: Score.failed("exception: no"))
    assert len(search.population) == 0
    assert all(set(r.parents) <= set(range(12)) for r in records[12:])
    assert len({r.digest for r in records}) == 40


def test_one_that_works_takes_over_after_failures() -> None:
    def late(genome: Any) -> Score:
        return score(genome) if genome.values[0] > 0.6 else Score.failed("exception: no")

    search = genetic(founders=[founder.at(np.full(4, 0.5)) for founder in founders(2)])
    records = drive(search, 200, late)
    assert len(search.population)
    assert all(r.score.error is None for r in search.population.records)
    assert records[-1].parents[0] >= 2


def test_replay_of_other_scores_gives_other_children() -> None:
    ours = drive(genetic(), 40, score)
    theirs = drive(genetic(), 40, lambda g: replace(score(g), values=(-score(g).values[0],)))
    assert lineage(ours) != lineage(theirs)


def test_two_searches_share_nothing() -> None:
    one, other = genetic(), genetic()
    drive(one, 40, score)
    assert (len(other.population), len(other.front.records)) == (0, 0)


def test_a_record_of_another_rung_is_learnt_too() -> None:
    search = genetic()
    promoted = replace(told_record(0, Proposal(founders(1)[0]), Score((0.5,))), rung=1)
    search.tell(promoted, rng_for(0, 0, Stream.TELL))
    assert [record.rung for record in search.elites] == [1]


class Refusing:
    """A mating that takes no costs."""

    def __call__(self, costs: object, samples: object, n_parents: int, **_: object) -> Any:
        raise ValueError("never")


BAD: list[tuple[dict[str, Any], str]] = [
    ({"founders": []}, "no founders"),
    ({"operators": []}, "no operators"),
    ({"size": 1}, "size is 1; a population needs 2"),
    ({"pace": Steady(0)}, "window=0"),
    ({"pace": Generational(-1)}, "offspring=-1"),
    ({"weights": [1.0]}, r"weights is \[1.0\] for 2 operators"),
    ({"weights": [0.0, 0.0]}, "not all zero"),
    ({"weights": [1.0, -1.0]}, "number >= 0 each"),
    ({"weights": [1.0, float("nan")]}, "finite"),
    ({"weights": [1.0, float("inf")]}, "finite"),
    ({"selection": NSGA3(das_dennis(3, 2))}, "selection NSGA3 does not fit 1 objectives"),
    ({"operators": [SBX(), SBX()], "bandit": Bandit()}, "Two operators are called 'sbx'"),
    ({"mating": Refusing()}, "mating Refusing does not fit 1 objectives: never"),
]


@pytest.mark.parametrize(("changes", "words"), BAD)
def test_what_cannot_work_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        genetic(**changes)


def test_arguments_are_copied() -> None:
    given: list[Vector] = founders()
    operators: list[Operator[Vector]] = [GaussianMutation()]
    search = genetic(founders=given, operators=operators)
    given.clear()
    operators.clear()
    assert len(drive(search, 20, score)) == 20


def test_an_operator_with_needs_is_planned_with_its_parents() -> None:
    away = SBX(needs=Needs(cpus=2))
    search = genetic(operators=[away], founders=founders(4))
    for birth in range(4):
        record = told_record(birth, Proposal(search.founders[birth]), Score((float(birth),)))
        search.tell(record, rng_for(0, birth, Stream.TELL))
    plan = search.ask(4, rng_for(0, 4, Stream.ASK))
    assert isinstance(plan, Plan)
    assert plan.operator is away
    assert len(plan.parents) == 2
    assert {parent.birth for parent in plan.parents} <= set(range(4))


def test_a_selection_that_remembers_what_is_no_tensor_gives_no_snapshot() -> None:
    search = genetic()
    search.population.restore((), object())
    assert search.snapshot() is None


@dataclass(frozen=True)
class Heeding:
    """A small step that wants to see up to two failures."""

    name: str = "heeding"
    arity: int = 1
    lessons: int = 2
    needs: Needs | None = None

    def vary(
        self, parents: Sequence[Record[Vector]], rng: np.random.Generator
    ) -> Offspring[Vector]:
        first, *lessons = parents
        child = first.genome.at(first.genome.values + rng.normal(0.0, 0.1, BOX.size))
        return Offspring(child, {"saw": [lesson.birth for lesson in lessons]})


@pytest.mark.parametrize("needs", [None, Needs(waits=True)])
def test_who_learns_is_shown_the_newest_failed_children_of_its_parent(needs: Needs | None) -> None:
    search = genetic(operators=[Heeding(needs=needs)], founders=founders(1), size=2)
    told = {0: told_record(0, Proposal(search.founders[0]), Score((1.0,)))}
    search.tell(told[0], rng_for(0, 0, Stream.TELL))
    for birth, origin in ((1, 0), (2, 0), (3, 0), (4, 9)):
        child = Proposal(Vector.random(BOX, rng_for(5, birth, Stream.ASK)), (origin,), "heeding")
        told[birth] = told_record(birth, child, Score.failed("exception: shapes differ"))
        search.tell(told[birth], rng_for(0, birth, Stream.TELL))
    packed = search.snapshot()
    assert packed is not None
    restored = genetic(operators=[Heeding(needs=needs)], founders=founders(1), size=2)
    restored.restore(packed, lambda births: [told[birth] for birth in births])
    for one in (search, restored):
        found = one.ask(5, rng_for(0, 5, Stream.ASK))
        if isinstance(found, Plan):
            assert [lesson.birth for lesson in found.lessons] == [2, 3]
            assert [record.birth for record in found.parents] == [0]
            assert found.facts == {"lessons": [2, 3]}
        else:
            assert found.facts == {"saw": [2, 3]}
            assert found.parents == (0,)


def test_a_bandit_follows_what_enters_the_front() -> None:
    """One operator's children are better than all before, the other's are worse."""
    better, worse = GaussianMutation(name="better"), GaussianMutation(name="worse")
    search = genetic(operators=[worse, better], bandit=Bandit(explore=0.2))
    asked: list[str] = []
    for birth in range(120):
        found = search.ask(birth, rng_for(0, birth, Stream.ASK))
        assert isinstance(found, Proposal)
        value = -float(birth) if found.operator == "better" else 100.0 + birth
        search.tell(told_record(birth, found, Score((value,))), rng_for(0, birth, Stream.TELL))
        asked.append(found.operator)
    assert asked[-60:].count("better") > 45
    assert "worse" in asked[-60:]
