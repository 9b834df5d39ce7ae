"""The ledger: what is written comes back; its digest sees what counts and nothing else."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from evolve.errors import StoreError
from evolve.genome import Genome, Packed, digest
from evolve.genomes.vector import Box, Vector
from evolve.score import Score
from evolve.search.protocol import Plan, Proposal
from evolve.store.ledger import Ledger
from evolve.store.schema import FORMAT, Stage
from evolve.store.vault import INLINE
from tests.evolve.cases import record, vector
from tests.evolve.store.trainer import Trainer


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger.create(tmp_path / "run", {"name": "x", "births": 4})
    made.begin_epoch({})
    yield made
    made.close()


def test_facts_come_back(ledger: Ledger) -> None:
    ledger.set_fact("births", 9)
    ledger.set_fact("nested", {"a": [1, None, "é"]})
    facts = ledger.facts
    assert isinstance(facts.pop("created"), float)
    assert facts == {"format": FORMAT, "name": "x", "births": 9, "nested": {"a": [1, None, "é"]}}


def test_births_come_back_in_order(ledger: Ledger) -> None:
    ledger.born(1, Proposal(vector(0.2), (0, 0), "sbx", 1, {"trial": 3}))
    name = ledger.born(0, Proposal(vector(0.1)))
    first, second = ledger.unfinished()
    assert (first.birth, second.birth, ledger.births()) == (0, 1, 2)
    assert name == first.digest == digest(vector(0.1))
    founder, child = first.proposal, second.proposal
    assert founder is not None
    assert child is not None
    assert digest(founder.genome) == name
    assert (founder.parents, founder.operator, founder.rung) == ((), "founder", 0)
    assert (child.parents, child.operator, child.rung) == ((0, 0), "sbx", 1)
    assert child.facts == {"trial": 3}


def test_a_large_genome_comes_back(ledger: Ledger) -> None:
    genome = vector(0.5, Box.of(0.0, 1.0, INLINE))
    ledger.born(0, Proposal(genome))
    (found,) = ledger.unfinished()
    assert found.proposal is not None
    assert isinstance(found.proposal.genome, Vector)
    assert digest(found.proposal.genome) == found.digest == digest(genome)


PLAN = Plan(Trainer(), (record(3, (0.0,)), record(1, (0.0,))), 1, {"trial": 3})


def test_a_plan_is_a_birth_without_a_genome(ledger: Ledger) -> None:
    ledger.planned(0, PLAN)
    (found,) = ledger.unfinished()
    assert (found.birth, found.digest, found.proposal, found.score) == (0, None, None, None)
    assert (found.rung, found.parents, found.operator) == (1, (3, 1), "trainer")
    assert found.facts == {"trial": 3}
    assert ledger.births() == 1
    assert ledger.records() == []


def test_a_plan_is_filled_once(ledger: Ledger) -> None:
    ledger.planned(0, PLAN)
    name = ledger.born(0, Proposal(vector(0.1), (3,), "copy", 0, {"why": "infertile"}))
    (found,) = ledger.unfinished()
    assert found.digest == name
    assert found.proposal is not None
    assert (found.rung, found.parents, found.operator) == (0, (3,), "copy")
    assert found.facts == {"why": "infertile"}
    with pytest.raises(AssertionError, match="birth 0 has its genome"):
        ledger.born(0, Proposal(vector(0.2)))
    assert ledger.unfinished()[0].digest == name
    with closing(sqlite3.connect(ledger.folder / "ledger.sqlite")) as database:
        assert database.execute("SELECT COUNT(*) FROM genome").fetchone() == (1,)


def test_only_told_scores_are_records_and_in_the_order_told(ledger: Ledger) -> None:
    for birth in range(4):
        ledger.born(birth, Proposal(vector(birth / 10)))
    assert ledger.told() == 0
    for birth in (3, 0, 2):
        ledger.scored(birth, Score((float(birth),)), seconds=0.5)
    ledger.committed(3, 0)
    ledger.committed(0, 1)
    assert [(r.birth, r.score.values) for r in ledger.records()] == [(3, (3.0,)), (0, (0.0,))]
    assert ledger.told() == 2


def test_attempts_are_counted_over_both_stages(ledger: Ledger) -> None:
    ledger.planned(0, PLAN)
    assert [ledger.dispatched(0, Stage.VARY), ledger.dispatched(0, Stage.VARY)] == [1, 2]
    assert ledger.ended(0, 1, 1, "worker lost", "ray-1", "gone")
    ledger.born(0, Proposal(vector(0.1)))
    assert ledger.dispatched(0) == 3
    assert ledger.ended(0, 3, 1, "timeout", "ray-1")
    assert ledger.failures(0, Stage.VARY) == ["worker lost"]
    assert ledger.failures(0) == ["timeout"]
    assert ledger.outcomes() == {"worker lost": 1, "timeout": 1, "in flight": 1}
    assert ledger.dispatched(0) == 4
    assert ledger.ended(0, 4, 1, "scored", "ray-2")
    assert ledger.failures(0) == ["timeout"]


def test_written_together_is_written_all_or_not_at_all(ledger: Ledger) -> None:
    ledger.born(0, Proposal(vector(0.1)))

    def fail_half_way() -> None:
        with ledger.together():
            ledger.born(1, Proposal(vector(0.2)))
            with ledger.together():
                ledger.scored(0, Score((1.0,)))
            raise RuntimeError("killed here")

    with pytest.raises(RuntimeError, match="killed here"):
        fail_half_way()
    assert ledger.births() == 1
    assert [each.score for each in ledger.unfinished()] == [None]
    with ledger.together():
        ledger.born(1, Proposal(vector(0.2)))
        ledger.scored(0, Score((1.0,)))
        with closing(Ledger.open(ledger.folder, write=False)) as reader:
            assert reader.births() == 1
    with closing(Ledger.open(ledger.folder, write=False)) as reader:
        assert reader.births() == 2


def test_what_is_written_apart_is_undone_alone(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError, match="in the middle"), ledger.together():  # noqa: PT012
        ledger.born(0, Proposal(vector(0.1)))
        with ledger.apart():
            ledger.born(1, Proposal(vector(0.2)))
            raise RuntimeError("in the middle")
    assert ledger.births() == 1
    with ledger.together(), ledger.apart():
        ledger.born(1, Proposal(vector(0.2)))
    assert ledger.births() == 2


def test_snapshots_come_back(ledger: Ledger) -> None:
    ledger.set_snapshot(20, Packed({"ideal": [float("inf"), 1.5]}, {"a": np.arange(3)}))
    ledger.set_snapshot(10, Packed({}, {}))
    ledger.set_snapshot(20, Packed({"ideal": [0.5]}, {"a": np.arange(INLINE)}))
    assert ledger.snapshots() == [10, 20]
    found = ledger.snapshot(20)
    assert found.facts == {"ideal": [0.5]}
    assert np.array_equal(found.arrays["a"], np.arange(INLINE))
    assert ledger.snapshot(10) == Packed({}, {})


def test_old_snapshots_thin_out(ledger: Ledger) -> None:
    for order in range(4, 4_004, 4):
        ledger.set_snapshot(order, Packed({}, {}))
        kept = ledger.snapshots()
        assert kept[-2:] == [order - 4, order][-len(kept) :]  # what a resume begins at
        ages = [order - each for each in kept]
        assert len(kept) <= 2 * math.log2(order)
        assert all(older <= 3 * newer + 4 for older, newer in pairwise(ages))


def test_all_is_there_after_closing(ledger: Ledger) -> None:
    ledger.born(0, Proposal(vector(0.1)))
    ledger.scored(0, Score((0.1 + 0.2,), samples=(np.arange(3, dtype=np.float32),)))
    ledger.committed(0, 0)
    before = ledger.digest()
    ledger.close()
    with closing(Ledger.open(ledger.folder, write=True)) as again:
        (record,) = again.records()
        assert again.digest() == before
        assert again.begin_epoch({}) == 2
    assert record.score.values == (0.1 + 0.2,)
    assert record.score.samples is not None
    assert record.score.samples[0].tolist() == [0.0, 1.0, 2.0]


def test_records_outlive_the_ledger_that_read_them(ledger: Ledger) -> None:
    ledger.born(0, Proposal(vector(0.1)))
    ledger.scored(0, Score((1.0,), heritage={"w": np.ones(3), "big": np.ones(INLINE)}))
    ledger.committed(0, 0)
    (record,) = ledger.records()
    ledger.close()
    assert record.score.heritage is not None
    assert record.score.heritage["w"].tolist() == [1.0, 1.0, 1.0]


def test_the_final_test_is_written_once_a_genome(ledger: Ledger) -> None:
    name = digest(vector(0.3))
    assert ledger.final("test", name) is None
    ledger.finally_scored("test", vector(0.3), Score((2.0,)), 0.1)
    found = ledger.final("test", name)
    assert found is not None
    assert found.values == (2.0,)
    assert ledger.final("validation", name) is None
    with pytest.raises(sqlite3.IntegrityError):
        # A second score for one digest is a bug of ours, not of a user's disk.
        ledger._database.execute("INSERT INTO final VALUES ('test', ?, 0.0, '{}')", (name,))


def test_final_rows_are_replaced_whole_and_keep_their_order(ledger: Ledger) -> None:
    name = digest(vector(0.3))
    ledger.finally_scored("test", vector(0.3), Score((2.0,)), 0.1)
    ledger.set_final_rows([("z", "baseline", name, None), ("knee", "pick", name, 3)])
    ledger.set_final_rows([("soup", "baseline", name, None), ("a", "pick", name, 1)])
    assert ledger.final_rows() == [("soup", "baseline", name, None), ("a", "pick", name, 1)]


@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
def test_the_vault_may_lie_elsewhere(tmp_path: Path, scheme: str) -> None:
    where = f"{scheme}{tmp_path}/elsewhere"
    genome = vector(0.5, Box.of(0.0, 1.0, INLINE))
    with closing(Ledger.create(tmp_path / "run", {}, where)) as ledger:
        ledger.begin_epoch({})
        name = ledger.born(0, Proposal(genome))
        ledger.scored(0, Score((1.0,), heritage={"w": np.arange(INLINE)}))
        ledger.committed(0, 0)
    with closing(Ledger.open(tmp_path / "run", write=False)) as ledger:
        (record,) = ledger.records()
    assert digest(record.genome) == name
    assert record.score.heritage is not None
    assert record.score.heritage["w"][-1] == INLINE - 1
    assert not (tmp_path / "run" / "vault").exists()


def test_a_vault_that_cannot_be_leaves_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Cannot use nosuch://x"):
        Ledger.create(tmp_path / "run", {}, "nosuch://x")
    assert not (tmp_path / "run").exists()


# --- digest ----------------------------------------------------------------------------------

Step = Callable[[Ledger], object]
SAMPLES = (np.arange(3, dtype=np.float32),)


def told(
    folder: Path,
    births: list[Proposal[Genome]],
    scores: list[Score],
    order: list[int] | None = None,
    noise: Step = lambda ledger: None,
    seconds: float = 0.0,
) -> str:
    """The digest of a new run of `births` with `scores`, told in `order`."""
    with closing(Ledger.create(folder, {})) as ledger:
        ledger.begin_epoch({})
        noise(ledger)
        for birth, proposal in enumerate(births):
            ledger.born(birth, proposal)
        for birth, score in enumerate(scores):
            ledger.scored(birth, score, seconds=seconds)
        for place, birth in enumerate(order or range(len(scores))):
            ledger.committed(birth, place)
        return ledger.digest()


BIRTHS: list[Proposal[Genome]] = [Proposal(vector(0.1)), Proposal(vector(0.2), (0,), "sbx")]
SCORES = [Score((1.0,)), Score((2.0,), samples=SAMPLES)]


def test_equal_runs_have_one_digest(tmp_path: Path) -> None:
    assert told(tmp_path / "a", BIRTHS, SCORES) == told(tmp_path / "b", BIRTHS, SCORES)


def test_a_digest_is_what_it_was_in_the_format_before(tmp_path: Path) -> None:
    pinned = "2d117ffd0ce7cdf9cef09a090dc1dd697bd4499872a83d3032b632236c3d9f8c"
    assert told(tmp_path / "a", BIRTHS, SCORES) == pinned


def test_times_epochs_attempts_and_texts_do_not_count(tmp_path: Path) -> None:
    def noise(ledger: Ledger) -> None:
        ledger.begin_epoch({"workers": 7})
        ledger.set_fact("file", "/somewhere/else.py")

    def attempts(folder: Path) -> str:
        with closing(Ledger.open(folder, write=True)) as ledger:
            ledger.begin_epoch({})
            ledger.dispatched(0)
            ledger.ended(0, 1, ledger.epoch, "worker lost", "ray-9", "oops")
            ledger.ended(0, 1, ledger.epoch, "scored", "ray-9")
            ledger.planned(2, PLAN)
            ledger.set_snapshot(2, Packed({}, {}))
            return ledger.digest()

    plain = told(tmp_path / "a", BIRTHS, SCORES)
    assert told(tmp_path / "b", BIRTHS, SCORES, noise=noise, seconds=9.0) == plain
    assert attempts(tmp_path / "a") == plain
    kinds = [Score.failed("timeout: 3 s"), Score.failed("timeout: 4 s", {"detail": "there"})]
    first, other = (told(tmp_path / str(i), BIRTHS[:1], [kind]) for i, kind in enumerate(kinds))
    assert first == other


CHANGES: dict[str, tuple[list[Proposal[Genome]], list[Score]]] = {
    "genome": ([BIRTHS[0], replace(BIRTHS[1], genome=vector(0.3))], SCORES),
    "parents": ([BIRTHS[0], replace(BIRTHS[1], parents=(0, 0))], SCORES),
    "operator": ([BIRTHS[0], replace(BIRTHS[1], operator="blx")], SCORES),
    "rung": ([BIRTHS[0], replace(BIRTHS[1], rung=1)], SCORES),
    "value": (BIRTHS, [Score((float(np.nextafter(1.0, 2.0)),)), SCORES[1]]),
    "sign of zero": (BIRTHS, [Score((0.0,)), SCORES[1]]),
    "violation": (BIRTHS, [replace(SCORES[0], violation=0.5), SCORES[1]]),
    "samples": (BIRTHS, [SCORES[0], replace(SCORES[1], samples=(SAMPLES[0] + 1,))]),
    "no samples": (BIRTHS, [SCORES[0], replace(SCORES[1], samples=None)]),
    "failure": (BIRTHS, [Score.failed("timeout: 3 s"), SCORES[1]]),
    "another failure": (BIRTHS, [Score.failed("exception: 3 s"), SCORES[1]]),
    "fewer": (BIRTHS[:1], SCORES[:1]),
}


def test_everything_else_counts(tmp_path: Path) -> None:
    digests = {"as it is": told(tmp_path / "plain", BIRTHS, SCORES)}
    digests["order"] = told(tmp_path / "order", BIRTHS, SCORES, [1, 0])
    for name, (births, scores) in CHANGES.items():
        digests[name] = told(tmp_path / name, births, scores)
    digests["minus zero"] = told(tmp_path / "minus", BIRTHS, [Score((-0.0,)), SCORES[1]])
    assert len(set(digests.values())) == len(digests), digests


def test_what_is_scored_but_not_told_does_not_count(tmp_path: Path) -> None:
    whole = told(tmp_path / "a", BIRTHS[:1], SCORES[:1])
    assert told(tmp_path / "b", BIRTHS, SCORES, [0]) == whole
