"""A nested fitness is handed what a promoted genome has scored: no sample is scored twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import evolve
from evolve import Experiment, Genetic, Objective, Score, Steady
from evolve.genome import digest
from evolve.genomes.vector import Vector
from evolve.score import Needs, Nested
from evolve.search.protocol import Search
from evolve.search.racing import hyperband
from evolve.search.stages import Staged
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
