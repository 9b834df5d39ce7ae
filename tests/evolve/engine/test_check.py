"""What `evolve check` says and refuses, each before a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import evolve.engine.check
from evolve import Experiment, Final, Needs, Objective, Packed, Score
from evolve.engine.check import examine
from evolve.engine.hire import Options, fitnesses_of
from evolve.engine.workers import InProcess
from evolve.errors import EvolveError, ExperimentError, FitnessError
from evolve.genome import digest
from evolve.genomes.vector import Vector
from tests.evolve.engine.noted import Noted, noted
from tests.evolve.engine.problems import Unruly, dtlz, founders, single_search, unruly


def lines(experiment: Experiment[Vector], workers: int = 0) -> dict[str, str]:
    """What is said, by the word that opens each line."""
    said = [line.split(maxsplit=1) for line in examine(experiment, None, Options(workers))]
    return dict(said)


def test_says_what_was_found() -> None:
    said = lines(dtlz(60))
    assert list(said) == [
        "experiment", "objectives", "window", "founder", "score", "time", "estimate",
    ]  # fmt: skip
    assert said["experiment"] == "dtlz2: 60 births, seed 0"
    assert said["objectives"] == "f1 (minimised), f2 (minimised), f3 (minimised)"
    assert said["window"] == "8 births in flight, 0 workers"
    assert said["founder"] == f"Vector {digest(founders(1)[0])[:12]}"
    (score,) = dtlz().fitness.evaluate(founders(1), 0, 0)
    assert said["score"] == ", ".join(f"f{i + 1} {v:.6g}" for i, v in enumerate(score.values))
    assert said["estimate"].endswith("min for 60 births, the test not counted")


def test_says_the_direction_and_the_unit(tmp_path: Path) -> None:
    speed = Objective("speed", maximise=True, unit="tokens/s")
    fitness = Unruly("fine", tmp_path, objectives=(speed,))
    assert (
        lines(replace(unruly("fine", tmp_path), fitness=fitness))["objectives"]
        == "speed (maximised, tokens/s)"
    )


def test_scores_the_founder_twice_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    calls: list[str] = []
    lines(noted(60, calls))
    assert calls == [digest(founders(1)[0])] * 2
    assert list(tmp_path.iterdir()) == []


def test_the_final_fitness_is_tried_and_its_values_stay_sealed() -> None:
    calls: list[str] = []
    said = lines(noted(60, [], final=Final(Noted(calls))))
    assert calls == [digest(founders(1)[0])]
    assert re.fullmatch(r"ok, \d+\.\d\d s", said["final"])


def test_a_final_fitness_that_fails_stops_with_the_reason() -> None:
    failing = frozenset([digest(founders(1)[0])])
    experiment = noted(60, [], final=Final(Noted([], failing=failing)))
    words = "could not be scored by Final.fitness: (?s:.*)cannot bear this genome"
    with pytest.raises(FitnessError, match=words):
        lines(experiment)


class Drifting(Vector):
    """Is moved a little whenever it is packed."""

    def pack(self) -> Packed:
        facts, arrays = super().pack()
        return Packed(facts, {**arrays, "values": self.values + 1e-9})


def test_a_genome_that_changes_when_it_travels_is_refused(tmp_path: Path) -> None:
    def search() -> object:
        found = single_search()
        found.founders = tuple(Drifting(g.values, g.box) for g in found.founders)
        return found

    experiment = replace(unruly("fine", tmp_path), search=search)  # type: ignore[arg-type]
    with pytest.raises(FitnessError, match="Drifting changes when it is packed and unpacked"):
        lines(experiment)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raise", r"could not be scored: (?s:.*)gene 0\.\d+ is too small"),
        ("nan", "could not be scored: invalid: objective 'loss' is nan, not finite"),
        ("keys", "could not be scored: invalid: 2 values for 1 objectives"),
    ],
)
def test_a_founder_that_cannot_be_scored_stops_with_the_reason(
    tmp_path: Path, how: str, words: str
) -> None:
    experiment = replace(unruly(how, tmp_path), fitness=Unruly(how, tmp_path, share=2.0))
    with pytest.raises(FitnessError, match=words):
        lines(experiment)


@dataclass(frozen=True)
class Moody:
    """Another score at each call."""

    calls: list[int] = field(default_factory=list)
    needs: Needs = field(default_factory=Needs)
    objectives: tuple[Objective, ...] = (Objective("loss"),)
    rungs: tuple[int, ...] = (1,)

    def evaluate(self, genomes: Sequence[Vector], rung: int, seed: int) -> list[Score]:
        self.calls.append(seed)
        return [Score((float(len(self.calls)),)) for _ in genomes]


def test_a_fitness_that_cannot_be_repeated_is_warned_of(tmp_path: Path) -> None:
    moody = Moody()
    said = lines(replace(unruly("fine", tmp_path), fitness=moody))
    assert "a second evaluation of the same genome gave another score" in said["warning"]
    assert len(set(moody.calls)) == 1  # it had the same seed both times


def test_what_a_run_would_refuse_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="at most 8 births in flight, too few for 9 workers"):
        lines(dtlz(), workers=9)
    single = unruly("fine", tmp_path).fitness
    with pytest.raises(ExperimentError, match=r"Final\.fitness has the objectives .*loss"):
        lines(replace(dtlz(), final=Final(single)))
    twice = Unruly("fine", tmp_path, objectives=(Objective("loss"), Objective("loss")))
    with pytest.raises(ExperimentError, match="each with its own name"):
        lines(replace(unruly("fine", tmp_path), fitness=twice))
    with pytest.raises(ExperimentError, match="An address needs Ray workers"):
        list(examine(dtlz(), None, Options(address="auto")))


@pytest.mark.parametrize("how", ["fine", "raise"])
def test_the_workers_are_closed_whatever_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    asked: list[tuple[int, int, str | None]] = []
    closed: list[bool] = []

    class Crew(InProcess):
        def close(self) -> None:
            closed.append(True)

    def hire(experiment: Experiment[Vector], options: Options, *_: object) -> Crew:
        fitnesses = fitnesses_of(experiment)
        asked.append((len(fitnesses), options.workers, options.address))
        return Crew(fitnesses)

    monkeypatch.setattr(evolve.engine.check, "hire", hire)
    fitness = Unruly(how, tmp_path, share=2.0)
    experiment = replace(unruly(how, tmp_path), fitness=fitness, final=Final(fitness))
    try:
        list(examine(experiment, None, Options(4, "auto")))
    except EvolveError:
        assert how == "raise"
    assert closed == [True]
    assert asked == [(2, 1, "auto")]  # one worker, that can bear the test too
