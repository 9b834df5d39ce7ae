"""Probing: the contract, the inner search's numbers, and one layout whatever is found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from evolve.errors import ExperimentError
from evolve.genome import digest
from evolve.genomes.vector import Box, Vector
from evolve.score import Objective, Record, Score, costs
from evolve.search.probing import Probing
from evolve.search.protocol import Plan, Proposal, Search
from evolve.search.stages import Staged
from evolve.streams import Stream, rng_for
from operators.vector import GaussianMutation
from tests.contracts.search import SearchContract, drive, proposed, tell, told_record
from tests.evolve.search.racers import Steps

BOX = Box.of(0.0, 1.0, 4)
COST = Objective("distance")


def probes(n: int = 9) -> list[Vector]:
    rng = np.random.default_rng(5)
    return [Vector.random(BOX, rng) for _ in range(n)]


def staged(founders: Sequence[Vector]) -> Staged[Vector]:
    return Staged(
        founders=founders,
        operators=[GaussianMutation(0.1), GaussianMutation(0.02)],
        objective=COST,
        offspring=5,
        survivors=(2, 1),
    )


def then(records: Sequence[Record[Vector]]) -> Search[Vector]:
    """The three best probes found the search."""
    fine = [r for r in records if r.score.error is None]
    ordered = sorted(fine, key=lambda r: r.score.values)
    return staged([*(r.genome for r in ordered), *probes(3)][:3])


class TestProbing(SearchContract[Vector]):
    births = 75
    goal_births = 600

    def search(self) -> Probing[Vector]:
        return Probing(probes(), then)

    def template(self) -> Vector:
        return Vector(np.full(4, 0.25), BOX)

    def test_elites_hold_the_best(self) -> None:
        search = self.search()
        records = drive(search, self.births, self.score)
        done = [r for r in records[9:] if r.rung == 1]
        best = costs([r.score for r in done], self.objectives).sum(1).min()
        assert costs([r.score for r in search.elites], self.objectives).min() == best


def test_probes_fly_together_and_the_search_is_built_of_them() -> None:
    search = TestProbing().search()
    assert [search.seen(birth) for birth in range(13)] == [0] * 9 + [9] * 3 + [12]
    records = drive(search, 60, TestProbing().score)
    assert {r.operator for r in records[:9]} == {"probe"}
    best = sorted(records[:9], key=lambda r: r.score.values)[:3]
    assert [r.digest for r in records[9:12]] == [r.digest for r in best]


def test_the_inner_search_counts_from_zero() -> None:
    built: list[Steps] = []

    def steps(records: Sequence[Record[Vector]]) -> Steps:
        built.append(Steps(window=3))
        return built[-1]

    search = Probing(probes(4), steps, rung=2)
    records = drive(search, 30, lambda v: Score((float(v.values.sum()),)))
    layout, inner = built
    assert layout.asked == layout.told == []
    assert [birth for birth, _ in inner.asked] == list(range(26))
    assert [record.birth for record in inner.told] == list(range(26))
    for record, theirs, (birth, n) in zip(records[4:], inner.told, inner.asked):
        assert theirs.parents == ((n - 1,) if n else ())  # what it was told last
        assert record.parents == ((n - 1 + 4,) if n else ())
        assert record.facts == theirs.facts == {"step": birth}
    assert {record.rung for record in records[:4]} == {2}
    (elite,) = search.elites
    assert records[elite.birth].digest == elite.digest
    assert records[elite.birth].parents == elite.parents


def test_probes_are_handed_over_in_birth_order() -> None:
    seen: list[int] = []

    def steps(records: Sequence[Record[Vector]]) -> Steps:
        seen.extend(record.birth for record in records)
        return Steps()

    search = Probing(probes(5), steps)
    records = drive(Probing(probes(5), steps), 5, lambda v: Score((1.0,)))
    seen.clear()
    tell(search, [records[i] for i in (3, 0, 4, 2, 1)], 0, 0)
    assert seen == [0, 1, 2, 3, 4]


def test_failed_probes_are_handed_over_too() -> None:
    search = TestProbing().search()
    records = drive(search, 12, lambda v: Score.failed("test"))
    assert [r.digest for r in records[9:]] == [digest(v) for v in probes(3)]
    assert search.elites == []


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ExperimentError, match="no probes"):
        Probing([], then)
    search = Probing(probes(2), lambda records: Steps(window=1 + len(records)))
    found = [proposed(search, birth) for birth in range(2)]
    one, other = (told_record(b, p, Score((1.0,))) for b, p in enumerate(found))
    tell(search, [one], 0, 0)
    with pytest.raises(ExperimentError, match="seen"):
        tell(search, [other], 1, 0)


def total(genome: Vector) -> Score:
    return Score((float(genome.values.sum()),))


def test_a_founder_that_was_a_probe_is_promoted() -> None:
    search = Probing(probes(), then)
    records = drive(search, 14, total)
    best = sorted(records[:9], key=lambda r: r.score.values)[:3]
    assert [(r.operator, r.parents, r.rung) for r in records[9:12]] == [
        ("promotion", (each.birth,), 1) for each in best
    ]
    assert {r.operator for r in records[12:]} == {"gaussian"}
    # At the rung of the probes it is a founder: a twin, answered from the ledger.
    search = Probing(probes(), then, rung=1)
    records = drive(search, 12, total)
    assert [(r.operator, r.parents) for r in records[9:]] == [("founder", ())] * 3


class Planned(Steps):
    """Plans a child of what was told last; what was told first is its lesson."""

    def ask(  # type: ignore[override]
        self, birth: int, rng: np.random.Generator
    ) -> Proposal[Vector] | Plan[Vector]:
        if len(self.told) < 2:
            return super().ask(birth, rng)
        return Plan(GaussianMutation(0.1), (self.told[-1],), lessons=(self.told[0],))


def test_a_plan_s_records_have_the_births_they_were_born_under() -> None:
    search = Probing(probes(4), lambda records: Planned(window=1))
    records = drive(search, 6, total)
    plan = search.ask(6, rng_for(0, 6, Stream.ASK))
    assert isinstance(plan, Plan)
    assert [(each.birth, each.digest) for each in plan.parents] == [(5, records[5].digest)]
    assert [(each.birth, each.digest) for each in plan.lessons] == [(4, records[4].digest)]
    assert plan.parents[0].parents == records[5].parents == (4,)
