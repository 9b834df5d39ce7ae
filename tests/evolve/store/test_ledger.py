"""The ledger: what is written comes back; its digest sees what counts and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evolve.genome import Genome, digest
from evolve.genomes.vector import Box, Vector
from evolve.score import Score
from evolve.search.protocol import Proposal
from evolve.store.ledger import Ledger
from evolve.store.vault import INLINE
from tests.evolve.cases import vector


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
    assert facts == {"format": 1, "name": "x", "births": 9, "nested": {"a": [1, None, "é"]}}


def test_proposals_come_back_in_order(ledger: Ledger) -> None:
    ledger.born(1, Proposal(vector(0.2), (0, 0), "sbx", 1, {"trial": 3}))
    name = ledger.born(0, Proposal(vector(0.1)))
    (first, at, founder), (second, _, child) = ledger.proposals()
    assert (first, second, ledger.births()) == (0, 1, 2)
    assert name == at == digest(vector(0.1))
    assert digest(founder.genome) == at
    assert (founder.parents, founder.operator, founder.rung) == ((), "founder", 0)
    assert (child.parents, child.operator, child.rung) == ((0, 0), "sbx", 1)
    assert child.facts == {"trial": 3}


def test_a_large_genome_comes_back(ledger: Ledger) -> None:
    genome = vector(0.5, Box.of(0.0, 1.0, INLINE))
    ledger.born(0, Proposal(genome))
    ((_, name, found),) = ledger.proposals()
    assert isinstance(found.genome, Vector)
    assert digest(found.genome) == name == digest(genome)


def test_only_told_scores_are_records_and_in_the_order_told(ledger: Ledger) -> None:
    for birth in range(4):
        ledger.born(birth, Proposal(vector(birth / 10)))
    for birth in (3, 0, 2):
        ledger.scored(birth, Score((float(birth),)), seconds=0.5)
    ledger.committed(3, 0)
    ledger.committed(0, 1)
    assert [(r.birth, r.score.values) for r in ledger.records()] == [(3, (3.0,)), (0, (0.0,))]
    scores = ledger.scores()
    assert {birth: scores[birth].order for birth in scores} == {0: 1, 2: None, 3: 0}
    assert scores[2].seconds == 0.5


def test_twins_name_whom_they_repeat(ledger: Ledger) -> None:
    for birth in range(2):
        ledger.born(birth, Proposal(vector(0.1)))
    ledger.scored(0, Score((1.0,)))
    ledger.scored(1, Score((1.0,)), twin_of=0)
    assert [scored.twin_of for scored in ledger.scores().values()] == [None, 0]


def test_attempts_are_counted_and_fenced_by_epoch(ledger: Ledger) -> None:
    ledger.born(0, Proposal(vector(0.1)))
    assert [ledger.dispatched(0), ledger.dispatched(0)] == [1, 2]
    ledger.ended(0, 1, "worker lost", "ray-1", "gone")
    assert ledger.failures(0) == ["worker lost"]
    assert ledger.outcomes() == {"worker lost": 1, "in flight": 1}
    ledger.ended(0, 2, "scored", "ray-2")
    assert ledger.failures(0) == ["worker lost"]
    assert ledger.dispatched(0) == 3
    assert ledger.begin_epoch({}) == ledger.epoch == 2
    assert ledger.failures(0) == ["worker lost", "driver lost"]
    assert ledger.dispatched(0) == 4


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


def test_times_epochs_attempts_and_texts_do_not_count(tmp_path: Path) -> None:
    def noise(ledger: Ledger) -> None:
        ledger.begin_epoch({"workers": 7})
        ledger.set_fact("file", "/somewhere/else.py")

    def attempts(folder: Path) -> str:
        with closing(Ledger.open(folder, write=True)) as ledger:
            ledger.begin_epoch({})
            ledger.dispatched(0)
            ledger.ended(0, 1, "worker lost", "ray-9", "oops")
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
