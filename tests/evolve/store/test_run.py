"""A run read back: records, front, picks, final table."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evolve
from evolve.errors import StoreError
from evolve.genome import digest
from evolve.genomes.vector import Vector
from evolve.score import Objective, Score
from evolve.search.protocol import Proposal
from evolve.store.ledger import Ledger
from evolve.store.run import Run
from tests.evolve.cases import vector

FACTS: Mapping[str, Any] = {
    "name": "x",
    "births": 5,
    "objectives": [
        {"name": "f", "maximise": False, "unit": "nats"},
        {"name": "g", "maximise": True, "unit": ""},
    ],
}
SCORES = [
    Score((0.0, 0.0)),
    Score((10.0, 10.0)),
    Score((4.0, 9.0), heritage={"w": np.ones(2)}),
    Score((-9.0, 99.0), violation=1.0),
    Score.failed("exception: no"),
]


def written(folder: Path, scores: list[Score], final: bool = False) -> Run[Vector]:
    with closing(Ledger.create(folder, FACTS)) as ledger:
        ledger.begin_epoch({})
        for birth, score in enumerate(scores):
            ledger.born(birth, Proposal(vector(birth / 10)))
            ledger.scored(birth, score)
            ledger.committed(birth, birth)
        if final:
            ledger.finally_scored("validation", vector(0.9), Score((1.0, 2.0)), 0.0)
            for x in (0.9, 0.2):
                ledger.finally_scored("test", vector(x), Score((x, x)), 0.0)
            ledger.set_final_rows(
                [
                    ("soup", "baseline", digest(vector(0.9)), None),
                    ("knee", "pick", digest(vector(0.2)), 2),
                ]
            )
    return Run.at(folder)


@pytest.fixture
def run(tmp_path: Path) -> Run[Vector]:
    return written(tmp_path / "run", SCORES, final=True)


def test_what_was_written_is_read(run: Run[Vector]) -> None:
    assert run.facts["name"] == "x"
    assert run.objectives == (Objective("f", unit="nats"), Objective("g", maximise=True))
    assert [record.birth for record in run.records] == [0, 1, 2, 3, 4]
    assert [record.birth for record in run.front] == [0, 1, 2]
    assert len(run.digest) == 64
    assert run.outcomes == {}


def test_reading_changes_nothing(run: Run[Vector]) -> None:
    before = (run.path / "ledger.sqlite").read_bytes()
    again = evolve.load(str(run.path))
    assert again.digest == run.digest
    assert len(again.front) == 3
    assert (run.path / "ledger.sqlite").read_bytes() == before


def test_heritage_can_be_read_afterwards(run: Run[Vector]) -> None:
    heritage = run.records[2].score.heritage
    assert heritage is not None
    assert heritage["w"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("choice", "birth"),
    [("knee", 2), ("best:f", 0), ("best:g", 1), ("birth:1", 1), ("birth:3", 3), ("birth:0", 0)],
)
def test_picks(run: Run[Vector], choice: str, birth: int) -> None:
    assert run.pick(choice).birth == birth


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("", "Cannot pick ''; give knee, best:OBJECTIVE or birth:N"),
        ("elbow", "Cannot pick 'elbow'"),
        ("knee:f", "Cannot pick 'knee:f'"),
        ("best", "Cannot pick 'best'"),
        ("best:", "Cannot pick 'best:'"),
        ("best:h", "No objective 'h'; this run has f, g"),
        ("birth:-1", "Cannot pick 'birth:-1'"),
        ("birth:one", "Cannot pick 'birth:one'"),
        ("birth:4", "no scored birth 4; births 0 to 4 were told"),
        ("birth:99", "no scored birth 99"),
    ],
)
def test_picks_that_make_no_sense(run: Run[Vector], choice: str, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        run.pick(choice)


def test_the_final_table_joins_validation_and_test(run: Run[Vector]) -> None:
    soup, knee = run.final
    assert (soup.name, soup.role, soup.birth) == ("soup", "baseline", None)
    assert (soup.validation.values, soup.test.values) == ((1.0, 2.0), (0.9, 0.9))
    assert (knee.name, knee.role, knee.birth) == ("knee", "pick", 2)
    assert (knee.validation.values, knee.test.values) == ((4.0, 9.0), (0.2, 0.2))


@pytest.mark.parametrize("scores", [[], SCORES[3:]])
def test_a_run_without_a_front_says_so(tmp_path: Path, scores: list[Score]) -> None:
    run = written(tmp_path / "empty", scores)
    assert (run.front, run.final) == ((), [])
    for choice in ("knee", "best:f"):
        with pytest.raises(StoreError, match="The front is empty: no feasible record was scored"):
            run.pick(choice)


def test_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no run"):
        evolve.load(tmp_path)
