"""A nested fitness is handed what a promoted genome has scored: no sample is scored twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pytest

import evolve
from evolve import Experiment, Genetic, Objective, Score, Steady
from evolve.engine.nesting import below
from evolve.genome import Genome, digest
from evolve.genomes.vector import Vector
from evolve.score import Needs, Nested
from evolve.search.protocol import PROMOTION, Proposal, Search
from evolve.search.racing import hyperband
from evolve.search.stages import Staged
from evolve.store.ledger import Ledger
from fitness.nested import both, extended
from operators.selection import Tournament, Truncation
from operators.vector import GaussianMutation
from tests.evolve.engine.problems import founders

COST = Objective("distance")
SCORED: Counter[tuple[str, int]] = Counter()  # (genome, sample), in this process


@dataclass(frozen=True)
class Plain:
    """Noisy distances to the middle; counts what it scores. Some genomes fail at the last rung."""

    rungs: tuple[int, ...] = (2, 4, 8)
    needs: Needs = Needs(batch=3)  # noqa: RUF009  (frozen)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return (COST,)

    def evaluate(self, genomes: Sequence[Vector], rung: int, seed: int) -> list[Score]:
        return [self._on(genome, 0, self.rungs[rung]) for genome in genomes]

    def _on(self, genome: Vector, start: int, stop: int) -> Score:
        SCORED.update((digest(genome), sample) for sample in range(start, stop))
        if stop == 8 and genome.values[0] > 0.97:
            return Score.failed("invalid: too far")
        noise = np.random.default_rng(0).normal(0, 0.1, (8, genome.values.size))[start:stop]
        samples = ((genome.values - 0.5 + noise) ** 2).mean(1).astype(np.float32)
        return _of(samples)


class Going(Plain):
    """The same, which goes on where a genome was scored before."""

    def extend(
        self, genomes: Sequence[Vector], known: Sequence[Score | None], rung: int, seed: int
    ) -> list[Score]:
        assert all(score is None or not score.notes for score in known)
        return extended(
            genomes,
            known,
            lambda some: self.evaluate(some, rung, seed),
            lambda some: [self._on(g, self.rungs[rung - 1], self.rungs[rung]) for g in some],
            lambda low, high: _of(both(low, high)[0][0]),
        )


def _of(samples: np.ndarray) -> Score:
    return Score((float(samples.mean(dtype=np.float64)),), notes={"a": "b"}, samples=(samples,))


def staged() -> Search[Vector]:
    """Founders at the last rung, then three stages a generation."""
    return Staged(
        founders=founders(3),
        operators=[GaussianMutation(0.1)],
        objective=COST,
        offspring=6,
        survivors=(4, 2, 1),
    )


def raced() -> Search[Vector]:
    """Races through every rung."""
    inner = Genetic(
        founders=founders(6),
        operators=[GaussianMutation(0.1)],
        selection=Truncation(),
        mating=Tournament(),
        objectives=[COST],
        size=6,
        pace=Steady(window=9),
    )
    return hyperband(inner, rungs=3, eta=2, objectives=[COST])


def run(out: Path, fitness: Plain, search: object, births: int = 90, **options: object) -> str:
    if "resume" not in options:
        SCORED.clear()
    experiment = Experiment("nested", search, fitness, births)  # type: ignore[arg-type]
    return evolve.run(experiment, out, **options).digest  # type: ignore[arg-type]


@pytest.mark.parametrize("search", [staged, raced])
def test_no_sample_is_scored_twice_and_nothing_else_changes(
    tmp_path: Path, search: Callable[[], Search[Vector]]
) -> None:
    assert isinstance(Going(), Nested)
    assert not isinstance(Plain(), Nested)
    expected = run(tmp_path / "plain", Plain(), search)
    assert max(SCORED.values()) > 1
    assert run(tmp_path / "going", Going(), search) == expected
    assert set(SCORED.values()) == {1}
    last = [record for record in evolve.load(tmp_path / "going").records if record.rung == 2]
    assert any(record.score.error is None for record in last)


def test_a_resumed_run_goes_on_from_what_the_ledger_holds(tmp_path: Path) -> None:
    expected = run(tmp_path / "whole", Going(), staged)
    for cut in (13, 14, 15, 16, 40):
        out = tmp_path / str(cut)
        run(out, Going(), staged, cut)
        assert run(out, Going(), staged, resume=True) == expected
        assert set(SCORED.values()) == {1}


@dataclass(frozen=True)
class Scored:
    """A ledger that holds one score at rung 0."""

    score: Score

    def known(self, digest: str, rung: int) -> tuple[int, Score] | None:
        return (0, self.score) if (digest, rung) == ("a", 0) else None


@pytest.mark.parametrize("error", ["", "timeout: long"])
def test_only_a_promotion_of_what_did_not_fail_goes_on(error: str) -> None:
    fine = _of(np.ones(2, np.float32))
    ledger = cast("Ledger", Scored(Score.failed(error) if error else fine))
    genome = cast("Genome", founders(1)[0])
    asked = [("a", PROMOTION, 1), ("a", "gaussian", 1), ("b", PROMOTION, 1), ("a", PROMOTION, 2)]
    born = [(name, Proposal(genome, (0,), operator, rung)) for name, operator, rung in asked]
    first, *others = below(ledger, Going(), born)
    assert (first is None) == bool(error)
    assert others == [None] * 3
    assert below(ledger, Plain(), born) == ()
