"""Staged search: the contract, EvoPress's selection, distinct children, nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

import evolve
from evolve import Experiment
from evolve.errors import ExperimentError, Infertile
from evolve.genome import digest
from evolve.genomes.vector import Box, Vector
from evolve.score import Needs, Objective, Record, Score, costs
from evolve.search.generations import PARENT
from evolve.search.stages import Staged
from evolve.search.surrogate import Surrogate
from operators.vector import SBX, GaussianMutation
from tests.contracts.search import SearchContract, drive, proposed, tell, told_record

BOX = Box.of(0.0, 1.0, 4)
COST = Objective("distance")


def founders(n: int) -> list[Vector]:
    rng = np.random.default_rng(3)
    return [Vector.random(BOX, rng) for _ in range(n)]


def staged(
    n: int = 4,
    survivors: Sequence[int] = (1,),
    *,
    offspring: int = 6,
    fresh: bool = False,
    start: bool = False,
    paired: bool = False,
    screen: Callable[[], Surrogate[Vector]] | None = None,
    screens: int = 0,
) -> Staged[Vector]:
    return Staged(
        founders=founders(n),
        operators=[GaussianMutation(0.1), GaussianMutation(0.02)],
        objective=COST,
        offspring=offspring,
        survivors=survivors,
        fresh=fresh,
        start=start,
        paired=paired,
        screens=screens,
        weights=(2, 1),
        screen=screen,
    )


class Contract(SearchContract[Vector]):
    births = 75
    goal_births = 600

    def template(self) -> Vector:
        return Vector(np.full(4, 0.25), BOX)

    def test_elites_hold_the_best(self) -> None:
        """Of the last stage; here a score is the same at every rung."""
        search = self.search()
        records = drive(search, self.births, self.score)
        last = len(search.layout.survivors) - 1
        done = [r for r in records if search.layout.at(r.birth).stage == last]
        best = costs([r.score for r in done], self.objectives).sum(1).min()
        assert costs([r.score for r in search.elites], self.objectives).min() == best

    def search(self) -> Staged[Vector]:
        return staged()


class TestOneStage(Contract):
    pass


class TestOneFounder(Contract):
    def search(self) -> Staged[Vector]:
        return staged(1, (2, 1))


class TestFaithful(Contract):
    def search(self) -> Staged[Vector]:
        return staged(5, (3, 1, 1), fresh=True, start=True)


class TestPaired(Contract):
    def search(self) -> Staged[Vector]:
        return staged(2, (2, 1), start=True, paired=True)


class TestScreened(Contract):
    def search(self) -> Staged[Vector]:
        return staged(screen=lambda: Surrogate(lambda v: v.values, COST, pool=3))


def noisy(fresh_noise: float) -> Callable[[Record[Vector]], Score]:
    """A distance whose noise is the rung's; each record has eight samples."""

    def score(record: Record[Vector]) -> Score:
        rng = np.random.default_rng([record.rung, 17])
        tilt = rng.normal(size=4) * fresh_noise
        value = float(((record.genome.values - 0.25) ** 2).sum() + record.genome.values @ tilt)
        return Score((value,), samples=(np.full(8, value, np.float32),))

    return score


def run(
    search: Staged[Vector], births: int, score: Callable[[Record[Vector]], Score]
) -> list[Record[Vector]]:
    """As `drive`, with scores that depend on the rung."""
    records: list[Record[Vector]] = []
    told = 0
    for birth in range(births):
        due = search.seen(birth)
        tell(search, records[told:due], told, 0)
        told = due
        found = told_record(birth, proposed(search, birth), Score((0.0,)))
        records.append(told_record(birth, proposed(search, birth), score(found)))
    tell(search, records[told:], told, 0)
    return records


def test_it_is_evopress_s_loop() -> None:
    """Replayed by its own rules: each stage keeps the best, the last is beside the parent."""
    search = staged(6, (4, 2, 1), offspring=9, fresh=True, start=True)
    generations = 12
    records = run(search, search.layout.births(generations), noisy(0.05))
    value = {r.birth: r.score.values[0] for r in records}
    parent = min(range(6), key=value.__getitem__)
    for g in range(generations):
        of = [r for r in records if search.layout.at(r.birth).generation == g]
        stages = [
            [r for r in of if (s := search.layout.at(r.birth)).stage == i and s.place != PARENT]
            for i in range(3)
        ]
        again = next(r for r in of if search.layout.at(r.birth).place == PARENT)
        assert again.digest == records[parent].digest
        assert again.parents == (parent,)
        assert {r.parents for r in stages[0]} == {(parent,)}
        assert len({r.digest for r in stages[0]} | {again.digest}) == 10
        for before, after, n in ((stages[0], stages[1], 4), (stages[1], stages[2], 2)):
            best = sorted(before, key=lambda r: value[r.birth])[:n]
            assert [r.parents for r in after] == [(r.birth,) for r in best]
            assert [r.digest for r in after] == [r.digest for r in best]
            assert {r.operator for r in after} == {"promotion"}
        parent = min([again, *stages[2]], key=lambda r: value[r.birth]).birth
        rungs = [{r.rung for r in stage} for stage in stages]
        assert rungs == [{1 + 3 * g}, {2 + 3 * g}, {3 + 3 * g}]
        assert again.rung == 3 + 3 * g
    assert [r.birth for r in search.elites] == [parent]


def test_nothing_is_evaluated_twice_on_fixed_samples() -> None:
    search = staged(3, (2, 1), offspring=5, start=True)
    records = run(search, search.layout.births(30), noisy(0.0))
    seen = [(r.digest, r.rung) for r in records]
    assert len(set(seen)) == len(seen)
    parents = [r for r in records if search.layout.at(r.birth).place == PARENT]
    assert len(parents) == 1  # at the last stage for the first time; later it has that score


def test_screens_of_their_own_choose_who_meets_the_parent_on_samples_that_stay() -> None:
    search = staged(2, (1, 1), offspring=6, screens=8)
    records = run(search, search.layout.births(8), noisy(0.5))
    value = {r.birth: r.score.values[0] for r in records}
    parent = min((0, 1), key=value.__getitem__)
    for g in range(8):
        of = [r for r in records if search.layout.at(r.birth).generation == g]
        children, (promoted,) = of[:-1], of[-1:]
        assert {(r.rung, r.parents) for r in children} == {(g, (parent,))}
        best = min(children, key=lambda r: value[r.birth])
        assert (promoted.digest, promoted.rung) == (best.digest, 8)
        parent = min(parent, promoted.birth, key=value.__getitem__)
    assert [r.birth for r in search.elites] == [parent]


def test_a_lost_promotion_keeps_the_parent() -> None:
    """What looked best on few samples fails on more."""
    search = staged(1, (1, 1), offspring=4)

    def score(record: Record[Vector]) -> Score:
        slot = search.layout.at(record.birth)
        if slot.generation >= 0 and slot.stage == 1:
            return Score.failed("test: NaN")
        return Score((float(record.genome.values.sum()),))

    records = run(search, search.layout.births(6), score)
    assert [r.birth for r in search.elites] == [0]
    assert {r.parents for r in records if r.operator == "gaussian"} == {(0,)}


def test_paired_statistics_can_overrule_the_mean() -> None:
    """Birth 1 has the best mean by luck; birth 2 is surely better than birth 3."""

    def score(record: Record[Vector]) -> Score:
        swing = np.tile([-1.0, 1.0], 16) - 0.01
        row = (np.zeros(32), swing, np.zeros(32), np.full(32, 0.05))[record.birth % 4]
        return Score((float(row.mean()),), samples=((1 + row).astype(np.float32),))

    for paired, winner in ((False, 1), (True, 2)):
        search = staged(1, (1, 1), offspring=3, paired=paired)
        records = run(search, search.layout.births(1), score)
        assert records[4].parents == (winner,)


class Bit:
    """A mutation with three children in all."""

    name, arity, needs = "bit", 1, None

    def vary(self, parents: Sequence[Record[Vector]], rng: np.random.Generator) -> Vector:
        return Vector(np.full(4, float(rng.integers(3)) / 4), BOX)


def test_where_there_are_no_more_children_twins_are_let_through() -> None:
    search = Staged(founders=founders(1), operators=[Bit()], objective=COST, offspring=5)
    records = run(search, 31, noisy(0.0))
    assert len({r.digest for r in records[1:6]}) == 3
    assert len({r.digest for r in records}) == 4


class Barren:
    name, arity, needs = "barren", 1, None

    def vary(self, parents: Sequence[Record[Vector]], rng: np.random.Generator) -> Vector:
        raise Infertile("test")


def test_no_child_at_all_is_an_error() -> None:
    search = Staged(founders=founders(1), operators=[Barren()], objective=COST, offspring=2)
    with pytest.raises(ExperimentError, match="barren"):
        run(search, 3, noisy(0.0))


def test_parts_that_do_not_fit_are_said() -> None:
    for survivors in ((), (2,), (1, 2, 1), (7, 1)):
        with pytest.raises(ExperimentError, match="survivors"):
            staged(1, survivors)
    with pytest.raises(ExperimentError, match="one parent"):
        Staged(founders=founders(1), operators=[SBX()], objective=COST, offspring=2)
    with pytest.raises(ExperimentError, match="founder"):
        staged(0)
    with pytest.raises(ExperimentError, match="weights"):
        Staged(
            founders=founders(1),
            operators=[GaussianMutation()],
            objective=COST,
            offspring=2,
            weights=(1, 1),
        )


class Rungs:
    """A fitness with fifteen rungs; a genome's digest is not asked twice at one of them."""

    objectives = (COST,)
    rungs = tuple(range(1, 16))
    needs = Needs(batch=4)

    def evaluate(self, genomes: Sequence[Vector], rung: int, seed: int) -> list[Score]:
        return [Score((float(((g.values - 0.25) ** 2).sum()) + 0.01 * rung,)) for g in genomes]


@pytest.mark.parametrize("fresh", [False, True])
def test_it_runs_in_the_engine(fresh: bool, tmp_path: Path) -> None:
    def search() -> Staged[Vector]:
        return staged(3, (2, 1), offspring=6, fresh=fresh, start=True)

    births = search().layout.births(5)
    done = evolve.run(Experiment("stages", search, Rungs(), births), tmp_path / "run")
    assert len(done.records) == births
    plain = run(search(), births, lambda r: Rungs().evaluate([r.genome], r.rung, 0)[0])
    assert [r.digest for r in done.records] == [r.digest for r in plain]
    assert digest(done.records[-1].genome) == plain[-1].digest


class Dial:
    """A mutation with `n` children in all, whatever the parent; the first is the founder."""

    name, arity, needs = "dial", 1, None

    def __init__(self, n: int) -> None:
        self.n = n

    def vary(self, parents: Sequence[Record[Vector]], rng: np.random.Generator) -> Vector:
        return Vector(np.full(4, float(rng.integers(self.n)) / self.n), BOX)


def dialled(n: int, offspring: int, fresh: bool) -> Staged[Vector]:
    return Staged(
        founders=[Vector(np.zeros(4), BOX)],
        operators=[Dial(n)],
        objective=COST,
        offspring=offspring,
        fresh=fresh,
        start=fresh,
    )


def test_a_child_that_was_told_before_is_not_drawn_again() -> None:
    records = run(dialled(32, 5, fresh=False), 26, noisy(0.0))
    assert len({r.digest for r in records}) == 26


def test_a_child_is_not_its_parent_though_samples_are_fresh() -> None:
    search = dialled(6, 5, fresh=True)
    records = run(search, search.layout.births(8), noisy(0.0))
    of = {r.birth: r.digest for r in records}
    children = [r for r in records if r.operator == "dial"]
    assert len(children) == 40
    assert all(r.digest != of[r.parents[0]] for r in children)


class Pupil:
    """A screen that writes down what it is taught."""

    pool = 2

    def __init__(self) -> None:
        self.learnt: list[int] = []

    def learn(self, records: Sequence[Record[Vector]]) -> None:
        self.learnt += [record.birth for record in records]

    def choose(
        self, children: Sequence[Vector], n: int, rng: np.random.Generator
    ) -> Sequence[int]:
        return range(n)


def test_a_screen_learns_every_record_once() -> None:
    pupil = Pupil()
    search: Staged[Vector] = Staged(
        founders=founders(3),
        operators=[GaussianMutation(0.1)],
        objective=COST,
        offspring=4,
        survivors=(2, 1),
        screen=lambda: pupil,
    )
    births = search.layout.births(3)
    run(search, births, noisy(0.0))
    assert pupil.learnt == list(range(births))


def test_where_all_are_infeasible_there_is_no_elite() -> None:
    search = staged(3, offspring=4)
    records = run(search, 7, lambda r: Score((1.0,), violation=1.0))
    assert len(records) == 7
    assert search.elites == []
