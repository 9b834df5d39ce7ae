from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from evolve.errors import ExperimentError, Infertile
from evolve.genome import digest
from evolve.genomes.vector import Box, Vector
from evolve.score import Needs, Objective, Record, Score
from evolve.search.protocol import Proposal
from evolve.streams import Stream, rng_for
from experiments.unselected import Unselected

GOALS = (Objective("sum"),)
BOX = Box.of(0.0, 1000.0, 4)


@dataclass(frozen=True)
class Step:
    """Adds one to a gene of the first parent."""

    name: str = "step"
    arity: int = 1
    needs: Needs | None = None

    def vary(self, parents: Sequence[Record[Vector]], rng: np.random.Generator) -> Vector:
        genes = parents[0].genome.values.copy()
        genes[rng.integers(len(genes))] += 1.0
        return Vector(genes, BOX)


@dataclass(frozen=True)
class Barren(Step):
    name: str = "barren"

    def vary(self, parents: Sequence[Record[Vector]], rng: np.random.Generator) -> Vector:
        raise Infertile("never")


def walked(births: int, operators: Sequence[Step], fails: Sequence[int] = ()) -> list[Record]:
    search = Unselected(Vector(np.zeros(4), BOX), operators, GOALS, [1.0] * len(operators), 3)
    records: list[Record] = []
    told = 0
    for birth in range(births):
        while told < search.seen(birth):
            search.tell(records[told], rng_for(0, told, Stream.TELL))
            told += 1
        found = search.ask(birth, rng_for(0, birth, Stream.ASK))
        assert isinstance(found, Proposal)
        score = Score((float(found.genome.values.sum()),))
        if birth in fails:
            score = Score.failed("exception: of the test")
        name = digest(found.genome)
        records.append(Record(birth, found.genome, name, score, 0, found.parents, found.operator))
    return records


def test_parents_are_drawn_evenly_from_all_that_were_told() -> None:
    records = walked(200, [Step()])
    parents = [record.parents[0] for record in records[1:]]
    assert max(parents) > 100
    shares = np.array(parents) / np.arange(1, 200)
    assert 0.4 < shares.mean() < 0.6  # of what was born before: uniform, whatever the score
    assert len({record.digest for record in records}) > 180  # twins in flight are not known


def test_what_failed_has_no_children() -> None:
    records = walked(80, [Step()], fails=range(1, 80, 2))
    assert {parent % 2 for record in records[1:] for parent in record.parents} == {0}


def test_an_infertile_operator_is_drawn_again() -> None:
    assert {record.operator for record in walked(20, [Step(), Barren()])} == {"founder", "step"}


def test_no_fertile_operator_is_an_error() -> None:
    with pytest.raises(ExperimentError, match="No operator was fertile"):
        walked(2, [Barren()])


def test_a_start_that_fails_has_no_children() -> None:
    with pytest.raises(ExperimentError, match="nothing descends from it"):
        walked(2, [Step()], fails=[0])


def test_operators_that_need_a_worker_are_refused() -> None:
    with pytest.raises(ExperimentError, match="vary in the driver"):
        walked(1, [Step(needs=Needs())])
