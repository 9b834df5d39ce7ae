from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from evolve.errors import ExperimentError, GenomeError, Infertile
from evolve.genome import digest
from evolve.genomes.vector import Box, Vector
from evolve.score import Objective, Record, Score
from operators.llm.strategy import EvoLLM, discrete, means, ranked
from tests.contracts.operator import vector_parents
from tests.evolve.chat.server import Asked, FakeServer, serve
from tests.operators.llm.cases import LanguageContract, number_of, rng, saying, talk

COST = (Objective("f"),)
BOX = Box.of([0.0, -1.0], [10.0, 1.0], 2)


class TestContract(LanguageContract[Vector]):
    def operator(self) -> EvoLLM:
        return EvoLLM(talk(self.server), COST, arity=4)

    def parents(self, seed: int) -> Sequence[Record[Vector]]:
        return vector_parents(4, d=3, seed=seed)

    def answer(self, asked: Asked) -> str:
        return f"mean: {number_of(asked) - 10}, 500, 0"


def member(x: float, y: float, cost: float, birth: int) -> Record[Vector]:
    vector = Vector(np.array([x, y]), BOX)
    return Record(birth, vector, digest(vector), Score((cost,)))


def strategy(server: FakeServer) -> EvoLLM:
    return EvoLLM(talk(server), COST, arity=3, sigma=0.0)


MEMBERS = [member(0.0, -1.0, 4.0, 0), member(10.0, 1.0, 8.0, 1), member(5.0, 0.5, 5.0, 2)]


def test_members_are_integers_worst_to_best_and_the_mean_is_the_child() -> None:
    with serve("Towards the first.\n**mean:** 250, 1000") as server:
        child = strategy(server).vary(MEMBERS, rng())
        prompt = server.asked[0].prompt
    assert "1000, 1000; cost 1000\n500, 750; cost 250\n0, 0; cost 0\n" in prompt
    assert child.genome.values.tolist() == [2.5, 1.0]
    assert child.facts["family"] == "strategy"


def test_the_step_is_in_box_widths() -> None:
    box = Box.of(0.0, np.tile([1.0, 100.0], 200).tolist(), 400)
    middle = Vector(box.high / 2, box)
    with serve(f"mean: {', '.join(['500'] * 400)}") as server:
        operator = replace(strategy(server), arity=1, genes=400, sigma=0.01)
        child = operator.vary([Record(0, middle, digest(middle), Score((1.0,)))], rng()).genome
    steps = (child.values - middle.values) / box.high
    assert steps[::2].std() == pytest.approx(0.01, rel=0.2)
    assert steps[1::2].std() == pytest.approx(0.01, rel=0.2)


def test_of_a_long_vector_some_genes_move_and_the_rest_are_the_best_ones() -> None:
    parents = vector_parents(3, d=12)
    parents = [replace(each, score=Score((float(-i),))) for i, each in enumerate(parents)]
    with serve("mean: 1, 2, 3, 4") as server:
        child = replace(strategy(server), genes=4).vary(parents, rng()).genome
    moved = child.values != parents[2].genome.values
    assert 1 <= moved.sum() <= 4


def test_malformed_numbers_are_repaired_once() -> None:
    with serve(saying("mean: 1, two", "mean: 1, 2")) as server:
        child = strategy(server).vary(MEMBERS, rng())
    assert "'two', which is no such integer" in str(child.facts["repaired"])
    with serve("mean: 1, 2001") as server:
        with pytest.raises(Infertile, match="2001, beyond 1000"):
            strategy(server).vary(MEMBERS, rng())
        assert server.count == 2


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("1, 2", "no line that begins with `mean:`"),
        ("mean: 1", "has 1 numbers"),
        ("mean: 1.5, 2", "'1.5'"),
        ("mean: -1, 2", "'-1'"),
        ("mean: nan, 2", "'nan'"),
        ("mean: " + "9" * 30 + ", 2", "no such integer"),
        ("mean: \u0661, 2", "no such integer"),  # a digit, but not ours
    ],
)
def test_refuses_what_are_no_integers(answer: str, told: str) -> None:
    with pytest.raises(GenomeError, match=told):
        means(answer, 2, 1000)


@pytest.mark.parametrize("answer", ["mean: 1,2", "Mean = [1, 2].", "mean: 9, 9\nmean: 1, 2"])
def test_reads_the_last_mean(answer: str) -> None:
    assert means(answer, 2, 10).tolist() == [1.0, 2.0]


def test_costs_become_integers_and_failures_the_largest() -> None:
    two = (Objective("a", maximise=True), Objective("b"))
    scores = [Score((9.0, 0.0)), Score((1.0, 10.0)), Score((9.0, 5.0)), Score.failed("x")]
    outside = Score((9.0, 0.0), violation=1.0)
    assert ranked([*scores, outside], two, 100) == [0, 100, 25, 100, 100]
    assert ranked(scores[3:], two, 100) == [100]


def test_a_closed_gene_is_zero() -> None:
    box = Box.of([0.0, 3.0], [1.0, 3.0], 2)
    assert discrete(np.array([0.26, 3.0]), box, 10).tolist() == [3, 0]


@pytest.mark.parametrize(
    "wrong", [{"arity": 0}, {"genes": 0}, {"sigma": -1.0}, {"objectives": ()}]
)
def test_refuses_fields(wrong: dict[str, object]) -> None:
    with serve("") as server, pytest.raises(ExperimentError):
        replace(strategy(server), **wrong)  # type: ignore[arg-type]
