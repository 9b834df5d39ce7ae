from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evolve.genomes.program.program import Program
from evolve.score import Score
from evolve.variation import Learning, Operator, offspring, placed
from operators.code import Inheriting, widening
from tests.operators.code.children import Children
from tests.operators.code.starts import ROWS, program, record


class TestInheriting(Children):
    def operator(self) -> Inheriting:
        return Inheriting(widening())


def test_a_child_begins_with_what_its_parent_learned() -> None:
    trained = {"1.weight": np.ones((32, 64), np.float32)}
    score = Score((0.5,), metrics={"epochs": 6.0}, heritage=trained)
    parent = replace(record(program(ROWS)), score=score)
    plain = widening().vary([parent], np.random.default_rng(0)).genome
    child = Inheriting(widening()).vary([parent], np.random.default_rng(0))
    assert child.genome.normal == plain.normal
    assert (plain.epochs, dict(plain.inherited)) == (0, {})
    assert child.genome.epochs == 6
    assert child.genome.inherited["1.weight"] is trained["1.weight"]
    assert child.facts["inherited"] == 1


def test_without_heritage_it_begins_from_scratch() -> None:
    child = Inheriting(widening()).vary([record(program(ROWS))], np.random.default_rng(0))
    assert (child.genome.epochs, dict(child.genome.inherited)) == (0, {})


@dataclass(frozen=True)
class Taught:
    """An operator that learns from two failures and keeps files."""

    folder: Path | None = None
    lessons: int = 2
    name: str = "taught"
    arity: int = 1
    needs: None = None

    def vary(self, parents: object, rng: np.random.Generator) -> Program:
        return program(ROWS)

    def at(self, folder: Path) -> Taught:
        return replace(self, folder=folder)


def test_what_the_operator_is_shows_through(tmp_path: Path) -> None:
    wrapped: Operator[Program] = Inheriting(Taught())
    assert (wrapped.name, wrapped.arity, wrapped.needs) == ("taught", 1, None)
    assert isinstance(wrapped, Learning)
    assert wrapped.lessons == 2
    assert placed(wrapped, tmp_path) == Inheriting(Taught(tmp_path))
    assert Inheriting(widening()).lessons == 0
    found = offspring(wrapped.vary([record(program())] * 3, np.random.default_rng(0)))
    assert found.genome.normal == program(ROWS).normal
