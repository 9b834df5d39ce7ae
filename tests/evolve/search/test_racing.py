"""Racing: the contract, the oracle, stragglers, and equal runs everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evolve
from evolve import Experiment, Free, Generational, Ordered, Steady
from evolve.errors import ExperimentError
from evolve.genome import digest
from evolve.genomes.vector import Vector
from evolve.score import Record, Score, costs
from evolve.search.protocol import Plan, Proposal, Search
from evolve.search.racing import Racing, hyperband
from evolve.streams import Stream, rng_for, seed_for
from operators.selection import NSGA2
from operators.vector import GaussianMutation
from tests.contracts.search import SearchContract, drive, told_record
from tests.evolve.engine.test_loop import drive as run_shuffled
from tests.evolve.search.racers import BOX, ONE, TWO, Noisy, Steps, founders, genetic, race, racing
from tests.evolve.search.test_promotion import slow_wins


class Contract(SearchContract[Vector]):
    births = 200
    goal_births = 2000

    def template(self) -> Vector:
        return Vector(np.full(BOX.size, 0.25), BOX)

    def test_elites_hold_the_best(self) -> None:
        """Of the last rung."""
        search = self.search()
        records = drive(search, self.births, self.score)
        best = costs([r.score for r in records if r.rung == 2], self.objectives).sum(1).min()
        elites = costs([r.score for r in search.elites], self.objectives)
        assert elites.sum(1).min() == pytest.approx(best)
        assert {record.rung for record in search.elites} == {2}


class TestSteady(Contract):
    def search(self) -> Racing[Vector]:
        return racing()


class TestGenerational(Contract):
    def search(self) -> Racing[Vector]:
        return racing(genetic(pace=Generational(offspring=10)), winners=4)


class TestHyperband(Contract):
    def search(self) -> Racing[Vector]:
        return hyperband(genetic(), objectives=ONE, rungs=3)


class TestTwoObjectives(Contract):
    objectives = TWO
    goal = 0.1  # the spheres lie 0.1 apart

    def search(self) -> Racing[Vector]:
        return racing(genetic(selection=NSGA2(), objectives=TWO), objectives=TWO, eta=2)


# --- survivors -------------------------------------------------------------------------------


def halving(genomes: Sequence[Vector], fitness: Noisy, survivors: int) -> list[str]:
    """Successive halving as the paper says it, one loop: the digests that reach the end."""
    rung, last = 0, len(fitness.rungs) - 1
    while rung < last:
        wins = slow_wins([fitness.at(genome, rung) for genome in genomes], fitness.objectives)
        best = sorted(range(len(genomes)), key=lambda i: (-round(wins[i], 6), i))
        genomes = [genomes[i] for i in best[: len(genomes) // 3]]
        rung += 1
    assert len(genomes) == survivors
    return [digest(genome) for genome in genomes]


@pytest.mark.parametrize("winners", [1, 3])
def test_the_survivors_are_the_oracle_s(winners: int) -> None:
    search, fitness = racing(Steps(), winners=winners), Noisy()
    records, _ = race(search, 400, fitness.at)
    compared = 0
    blocks = [search.layout.at(birth) for birth in records]
    for last in {block.index: block for block in blocks if block.rung == 2}.values():
        if last.births[-1] >= 400:
            continue
        assert last.source is not None
        middle = search.layout.block(last.source)
        assert middle.source is not None
        first = search.layout.block(middle.source)
        genomes = [records[birth].genome for birth in first.births]
        expected = halving(genomes, fitness, winners)
        assert [records[birth].digest for birth in last.births] == expected
        compared += 1
    assert compared >= 8


def test_the_inner_search_is_told_last_rungs_as_if_they_were_its_own_births() -> None:
    inner = Steps()
    search = racing(inner, winners=2, starts=(0, 2))
    records, _ = race(search, 300, Noisy().at)
    finals = [birth for birth, record in records.items() if record.rung == 2]
    assert [record.birth for record in inner.told] == finals
    assert {record.operator for record in inner.told} == {"step"}
    assert all(told >= inner.seen(birth) for birth, told in inner.asked)
    for record in inner.told:
        assert record.rung == 2
        assert record.score is records[record.birth].score
        origin = records[record.birth]
        while origin.operator == "promotion":
            (parent,) = origin.parents
            assert records[parent].rung == origin.rung - 1
            assert records[parent].digest == origin.digest
            origin = records[parent]
        assert (record.parents, record.facts) == (origin.parents, origin.facts)
        step = record.facts["step"]
        assert step in search.layout.at(record.birth).inner
    assert search.elites == inner.elites


def test_founders_are_never_thrown_away() -> None:
    records, _ = race(racing(winners=4), 600, Noisy().at)
    last = {record.digest for record in records.values() if record.rung == 2}
    assert {digest(founder) for founder in founders(12)} <= last


# --- free mode -------------------------------------------------------------------------------


def test_a_straggler_is_cut_and_its_record_changes_nothing() -> None:
    """Birth 4 would win its bracket; it is told after everything else."""
    fitness = Noisy()

    def evaluate(genome: Vector, rung: int) -> Score:
        return fitness.at(genome, rung)

    search = racing(Steps())
    whole, _ = race(search, 120, evaluate)
    best = next(r for r in whole.values() if r.rung == 2)
    while best.operator == "promotion":
        best = whole[best.parents[0]]

    def late(waiting: list[int]) -> int:
        return min(waiting, key=lambda birth: (birth == best.birth, birth))

    inner = Steps()
    search = racing(inner)
    records, order = race(search, 120, evaluate, late)
    assert order[-1] == best.birth
    assert best.birth not in {p for record in records.values() for p in record.parents}
    assert Counter(record.rung for record in records.values()) == Counter(
        record.rung for record in whole.values()
    )
    told = [record.digest for record in inner.told]
    assert best.digest not in told
    assert len(set(told)) == len(told)


def test_any_order_of_arrival_is_survived_and_replayed() -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        patience = rng.pareto(1.0, 400)

        def pick(waiting: list[int], patience: np.ndarray = patience) -> int:
            return waiting[int((20 * patience[waiting] + waiting).argmin())]

        inner, again = Steps(window=6), Steps(window=6)
        search = racing(inner, winners=2, starts=(0, 1))
        records, order = race(search, 400, Noisy().at, pick)
        assert order != sorted(order)
        assert not search._cut  # all were told in the end: nothing is kept of them
        assert [r.birth for r in inner.told] == [b for b in order if records[b].rung == 2]
        promoted = [r.parents for r in records.values() if r.operator == "promotion"]
        assert len(set(promoted)) == len(promoted)
        search = racing(again, winners=2, starts=(0, 1))  # as after a kill
        for commit, birth in enumerate(order[:250]):
            assert search.seen(commit) <= commit
            search.tell(records[birth], rng_for(0, commit, Stream.TELL))
        for birth in set(range(400)) - set(order[:250]):
            if search.seen(birth) <= 250 and records[birth].operator == "promotion":
                proposal = search.ask(birth, rng_for(0, birth, Stream.ASK))
                assert isinstance(proposal, Proposal)
                assert digest(proposal.genome) == records[birth].digest
                assert proposal.parents == records[birth].parents


def test_where_too_few_are_told_a_new_candidate_begins_above() -> None:
    search = racing(Steps(window=40))
    first = search.layout.block(0)
    up = next(b for b in map(search.layout.block, range(9)) if b.source == 0)
    others = list(range(up.seen, up.births.start))
    told = [*list(first.births)[:2], *others]  # two of nine, where three are promoted
    while len(told) < up.seen:  # as if later births had been so fast
        told.append(up.births.stop + len(told))
    for commit, birth in enumerate(told[: up.seen]):
        genome = Vector.random(BOX, rng_for(1, birth, Stream.ASK))
        record = Record(birth, genome, digest(genome), Score((float(birth),)))
        search.tell(record, rng_for(0, commit, Stream.TELL))
    proposals = [search.ask(birth, rng_for(0, birth, Stream.ASK)) for birth in up.births]
    assert [p.parents for p in proposals if isinstance(p, Proposal)][:2] == [(0,), (1,)]
    assert proposals[2].facts == {"step": 0}
    assert {p.rung for p in proposals} == {1}


# --- other parts -----------------------------------------------------------------------------


@dataclass
class Planned(Steps):
    """Its children are made by a worker."""

    def ask(self, birth: int, rng: np.random.Generator) -> Plan[Vector]:  # type: ignore[override]
        genome = Vector.random(BOX, rng)
        parent = Record(0, genome, digest(genome), Score((1.0,)))
        return Plan(GaussianMutation(), (parent,), facts={"step": birth})


def test_a_plan_is_passed_on_with_its_rung() -> None:
    search = racing(Planned(), starts=(1,))
    plan = search.ask(0, rng_for(0, 0, Stream.ASK))
    assert isinstance(plan, Plan)
    assert (plan.rung, plan.facts, plan.operator.name) == (1, {"step": 0}, GaussianMutation().name)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"rungs": 1}, "rungs is 1; give an int >= 2"),
        ({"rungs": 2.0}, "rungs is 2.0"),
        ({"eta": 1}, "eta is 1"),
        ({"winners": 0}, "winners is 0"),
        ({"winners": True}, "winners is True"),
        ({"winners": (1, 2)}, "2 winners for 1 starts"),
        ({"brackets": 0}, "brackets is 0"),
        ({"starts": ()}, r"starts is \(\); give one or more rungs from 0 to 2"),
        ({"starts": (0, 3)}, r"starts is \(0, 3\)"),
        ({"starts": (-1,)}, r"starts is \(-1,\)"),
        ({"objectives": ()}, "no objectives"),
        ({"winners": 7}, "Genetic lets 6 births fly at once.* 7 or more, or Racing fewer"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ExperimentError, match=text):
        racing(**changes)


def test_a_window_too_small_for_hyperband_is_refused() -> None:
    with pytest.raises(ExperimentError, match="winners is 4, but Steps lets 3 births"):
        hyperband(Steps(window=3), objectives=ONE, rungs=4)


# --- the engine ------------------------------------------------------------------------------


def noisy_search() -> Racing[Vector]:
    return racing(genetic(pace=Steady(window=12)), winners=2, starts=(0, 1))


def experiment(births: int = 240, **changes: Any) -> Experiment[Vector]:
    return replace(Experiment("race", noisy_search, Noisy(), births), **changes)


def test_an_ordered_run_is_the_same_for_any_workers(tmp_path: Path) -> None:
    cases = [(1, 0), (4, 1), (8, 3), (24, 5)]
    digests = {
        run_shuffled(experiment(), tmp_path / f"{slots}-{key}", slots, key)[0]
        for slots, key in cases
    }
    assert len(digests) == 1


def test_a_run_is_read_back_and_resumed_from_disk(tmp_path: Path) -> None:
    whole = evolve.run(experiment(), tmp_path / "whole")
    evolve.run(experiment(101), tmp_path / "part")
    longer = evolve.run(experiment(), tmp_path / "part", resume=True)
    assert longer.digest == whole.digest
    assert {record.rung for record in whole.front} == {2}


@pytest.mark.parametrize("order", [Ordered(), Free()])
def test_twins_and_late_answers_cost_nothing_and_break_nothing(
    tmp_path: Path, order: Ordered | Free
) -> None:
    _, workers = run_shuffled(experiment(order=order), tmp_path / "run", 16, key=7)
    evaluated = Counter(birth for job in workers.jobs for birth in job.births)
    assert set(evaluated.values()) == {1}
    records = evolve.load(tmp_path / "run").records
    assert len(records) == 240
    distinct = {(record.digest, record.rung) for record in records}
    assert len(evaluated) == len(distinct) < 200


def samples_to_reach(goal: float, seed: int, search: Search[Vector], full: bool) -> int:
    """Samples spent until an elite lies so near the optimum of the last rung (squared).

    full: every birth is scored at the last rung, as without racing.
    """
    fitness = Noisy(rungs=(1, 3, 9, 27), noise=0.1)
    seeds = [seed_for(seed, rung, Stream.EVALUATE) for rung in range(4)]
    centre = 0.25 + np.random.default_rng(seeds[3]).normal(0, fitness.noise, (27, BOX.size)).mean(
        0
    )
    spent, met, birth = 0, set(), 0
    while spent < 20_000:
        proposal = search.ask(birth, rng_for(seed, birth, Stream.ASK))
        assert isinstance(proposal, Proposal)
        proposal = replace(proposal, rung=3 if full else proposal.rung)
        key = (digest(proposal.genome), proposal.rung)
        spent += 0 if key in met else fitness.rungs[proposal.rung]
        met.add(key)
        score = fitness.evaluate([proposal.genome], proposal.rung, seeds[proposal.rung])[0]
        search.tell(told_record(birth, proposal, score), rng_for(seed, birth, Stream.TELL))
        if any(((elite.genome.values - centre) ** 2).sum() < goal for elite in search.elites):
            break
        birth += 1
    return spent


def test_a_known_optimum_is_reached_with_fewer_samples() -> None:
    def searches() -> tuple[Search[Vector], Search[Vector]]:
        inner = (genetic(pace=Steady(1)) for _ in range(2))
        return next(inner), racing(next(inner), rungs=4, brackets=1)

    spent = [
        [
            samples_to_reach(0.01, seed, search, full)
            for search, full in zip(searches(), (True, False))
        ]
        for seed in range(5)
    ]
    full, raced = np.median(spent, axis=0)
    assert raced < 0.6 * full, spent
