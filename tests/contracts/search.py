"""What every search must do. Subclass `SearchContract`, give `search()` and `template()`.

The suite plays the engine's ordered mode in one loop: a birth is asked when exactly
`seen(birth)` scores are told, and what a search writes passes through JSON and `pack` before it
comes back, as through a ledger. Knows no kind of search.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Generic

import numpy as np
import pytest

from evolve.genome import Packed, canonical, digest
from evolve.genomes.vector import VectorLike
from evolve.score import G, Objective, Record, Score, costs
from evolve.search.protocol import Proposal, Restorable, Search, window_of
from evolve.streams import Stream, rng_for
from tests.contracts.operator import global_dice


def told_record(birth: int, proposal: Proposal[G], score: Score) -> Record[G]:
    """The record of `proposal` as a ledger would give it back."""
    genome = type(proposal.genome).unpack(proposal.genome.pack())
    return Record(
        birth=birth,
        genome=genome,
        digest=digest(genome),
        score=score,
        rung=proposal.rung,
        parents=proposal.parents,
        operator=proposal.operator,
        facts=json.loads(canonical(proposal.facts)),
    )


def tell(search: Search[G], records: Sequence[Record[G]], first: int, seed: int) -> None:
    for commit, record in enumerate(records, start=first):
        search.tell(record, rng_for(seed, commit, Stream.TELL))


def proposed(search: Search[G], birth: int, seed: int = 0) -> Proposal[G]:
    """What `search` proposes for `birth`; the searches under test plan nothing."""
    found = search.ask(birth, rng_for(seed, birth, Stream.ASK))
    assert isinstance(found, Proposal)
    return found


def drive(
    search: Search[G],
    births: int,
    evaluate: Callable[[G], Score],
    seed: int = 0,
    nosy: bool = False,
) -> list[Record[G]]:
    """`births` records of `search`, all of them told. `nosy` asks too often, with other dice."""
    records: list[Record[G]] = []
    told = 0
    for birth in range(births):
        due = search.seen(birth)
        assert told <= due <= birth, f"birth {birth}: seen={due}, {told} were told before it"
        tell(search, records[told:due], told, seed)
        told = due
        if nosy:
            for other in range(3):
                search.ask(birth, rng_for(seed + 1 + other, birth, Stream.ASK))
            assert search.elites is not None
        proposal = proposed(search, birth, seed)
        records.append(told_record(birth, proposal, evaluate(proposal.genome)))
    tell(search, records[told:], told, seed)
    return records


def lineage(records: Sequence[Record[G]]) -> list[tuple[object, ...]]:
    """What must be equal when two runs are the same; facts may hold a library's own bytes."""
    return [(r.digest, r.parents, r.operator, r.rung) for r in records]


class SearchContract(Generic[G]):
    births = 60  # of the tests that compare runs
    objectives: tuple[Objective, ...] = (Objective("distance"),)
    goal_births = 300  # of the test that reaches an optimum
    goal = 0.05  # summed costs of the best record after them

    def search(self) -> Search[G]:
        """A new search on the kind of `template()`, for `objectives`."""
        raise NotImplementedError

    def template(self) -> VectorLike:
        """A vector-like genome whose box contains 0.25 in every gene."""
        raise NotImplementedError

    def score(self, genome: G) -> Score:
        """A sphere about 0.25; with several objectives, spheres 0.1 apart along gene 0."""
        assert isinstance(genome, VectorLike)
        values = []
        for i, objective in enumerate(self.objectives):
            target = np.full(genome.box.size, 0.25)
            target[0] += 0.1 * i
            distance = float(((genome.values - target) ** 2).sum())
            values.append(-distance if objective.maximise else distance)
        return Score(tuple(values))

    def often_failing(self, genome: G) -> Score:
        unlucky = int(digest(genome)[:2], 16) % 3 == 0
        return Score.failed("test: unlucky") if unlucky else self.score(genome)

    def often_infeasible(self, genome: G) -> Score:
        assert isinstance(genome, VectorLike)
        return Score(self.score(genome).values, violation=max(0.0, float(genome.values[-1])))

    @pytest.fixture(scope="class")
    @classmethod
    def plain(cls) -> list[Record[G]]:
        """A run that several tests read."""
        suite = cls()
        return drive(suite.search(), suite.births, suite.score)

    @pytest.fixture(scope="class")
    @classmethod
    def failing(cls) -> list[Record[G]]:
        """One with many failures."""
        suite = cls()
        return drive(suite.search(), suite.births, suite.often_failing)

    def test_seen_is_monotone_and_pure(self) -> None:
        fresh, driven = self.search(), self.search()
        drive(driven, self.births, self.score)
        due = [fresh.seen(birth) for birth in range(3 * self.births)]
        assert due == sorted(due)
        assert all(0 <= n <= birth for birth, n in enumerate(due))
        assert [driven.seen(birth) for birth in range(3 * self.births)] == due
        assert window_of(fresh, self.births) >= 1

    def test_proposals_are_of_one_kind_and_box(self, plain: list[Record[G]]) -> None:
        template = self.template()
        for record in plain:
            assert type(record.genome) is type(template)
            assert isinstance(record.genome, VectorLike)
            assert np.array_equal(record.genome.box.low, template.box.low)
            assert (record.genome.values >= template.box.low).all()
            assert (record.genome.values <= template.box.high).all()
            assert record.operator
            assert all(0 <= parent < record.birth for parent in record.parents)

    def test_asking_twice_gives_the_same(self) -> None:
        search = self.search()
        birth = self.births
        drive(search, search.seen(birth), self.score)
        one, other = (proposed(search, birth) for _ in range(2))
        assert digest(one.genome) == digest(other.genome)
        assert one.parents == other.parents
        assert one.operator == other.operator

    def test_asking_changes_nothing(self, plain: list[Record[G]]) -> None:
        nosy = drive(self.search(), self.births, self.score, nosy=True)
        assert lineage(nosy) == lineage(plain)

    @pytest.mark.parametrize("share", [0.02, 0.12, 0.5, 0.75])
    def test_state_is_a_fold_over_tell(self, share: float, failing: list[Record[G]]) -> None:
        part, whole = int(share * self.births), failing
        search = self.search()  # as after a kill: built anew, told what was written, then asked
        due = search.seen(part)
        tell(search, whole[:due], 0, seed=0)
        again = whole[:part]
        for birth in range(part, self.births):
            tell(search, again[due : search.seen(birth)], due, seed=0)
            due = search.seen(birth)
            proposal = proposed(search, birth)
            score = self.often_failing(proposal.genome)
            again = [*again, told_record(birth, proposal, score)]
        assert lineage(again) == lineage(whole)

    def test_seed_matters(self, plain: list[Record[G]]) -> None:
        other = drive(self.search(), self.births, self.score, seed=5)
        assert lineage(plain) != lineage(other)

    def test_touches_no_global_generator(self) -> None:
        before = global_dice()
        drive(self.search(), self.births, self.score)
        assert global_dice() == before

    def test_records_are_not_changed(self, plain: list[Record[G]]) -> None:
        mirror, records = self.search(), plain
        before = [(digest(r.genome), canonical(r.facts), r.score.values) for r in records]
        tell(mirror, records, 0, seed=0)
        after = [(digest(r.genome), canonical(r.facts), r.score.values) for r in records]
        assert after == before

    def test_failures_are_survived(self) -> None:
        search = self.search()
        records = drive(search, self.births, self.often_failing)
        assert any(record.score.error for record in records)
        assert all(record.score.error is None for record in search.elites)

    def test_nothing_but_failures_is_survived(self) -> None:
        search = self.search()
        assert len(drive(search, self.births, lambda _: Score.failed("test"))) == self.births
        assert list(search.elites) == []

    def test_violations_are_survived(self) -> None:
        search = self.search()
        drive(search, self.births, self.often_infeasible)
        assert all(record.score.violation == 0 for record in search.elites)

    def test_elites_hold_the_best(self) -> None:
        search = self.search()
        records = drive(search, self.births, self.score)
        best = costs([r.score for r in records], self.objectives).sum(1).min()
        elites = costs([r.score for r in search.elites], self.objectives)
        assert elites.sum(1).min() == pytest.approx(best)

    def test_reaches_a_known_optimum(self) -> None:
        search = self.search()
        drive(search, self.goal_births, self.score)
        elites = np.abs(costs([r.score for r in search.elites], self.objectives))
        assert elites.sum(1).min() < self.goal


class RestorableContract(SearchContract[G]):
    """For searches that give snapshots."""

    @pytest.mark.parametrize("share", [0.02, 0.12, 0.5, 0.75])
    def test_a_restored_search_goes_on_as_the_one_that_was_told(
        self, share: float, failing: list[Record[G]]
    ) -> None:
        whole = failing
        told, restored = self.search(), self.search()
        assert isinstance(told, Restorable)
        assert isinstance(restored, Restorable)
        part = int(share * self.births)
        tell(told, whole[:part], 0, seed=0)
        packed = told.snapshot()
        assert packed is not None
        facts = json.loads(canonical(packed.facts))
        arrays = {name: array.copy() for name, array in packed.arrays.items()}
        restored.restore(Packed(facts, arrays), lambda births: [whole[n] for n in births])
        tell(restored, whole[part : restored.seen(self.births)], part, seed=0)
        other = self.search()
        tell(other, whole[: other.seen(self.births)], 0, seed=0)
        for birth in range(self.births, self.births + 3):
            if other.seen(birth) == other.seen(self.births):
                one, two = proposed(restored, birth), proposed(other, birth)
                assert digest(one.genome) == digest(two.genome)
                assert (one.parents, one.operator) == (two.parents, two.operator)
        assert [r.birth for r in restored.elites] == [r.birth for r in other.elites]
