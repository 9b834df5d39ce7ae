"""Threads beside the driver: what waits holds no worker, and a spent budget stops the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evolve
from evolve import Experiment, Genetic, Needs, Record, Steady
from evolve.engine.beside import Beside
from evolve.engine.run import conduct
from evolve.engine.surroundings import MODEL
from evolve.engine.workers import InProcess, Variation, Workers, sent
from evolve.errors import BudgetSpent, ExperimentError, Infertile, IsolationError
from evolve.genomes.vector import Vector
from evolve.store.ledger import Ledger
from evolve.variation import Offspring
from operators.selection import Tournament, Truncation
from operators.vector import GaussianMutation
from tests.contracts.workers import Sums, WorkersContract
from tests.evolve.engine.problems import BOX, founders, unruly

WAITS = Needs(cpus=0, waits=True)
ALOFT = threading.Semaphore(0)  # how many asked at once
GATE = threading.Event()


@dataclass(frozen=True)
class Asking:
    """A Gaussian step, asked for `seconds`; `how`: fine | gate | refused. A `cap` in questions is
    kept in the run's folder, as an account is."""

    seconds: float = 0.0
    how: str = "fine"
    cap: int = 10_000
    folder: Path = Path()
    name: str = "asking"
    arity: int = 1
    lessons: int = 2
    needs: Needs = field(default_factory=lambda: WAITS)

    def at(self, folder: Path) -> Asking:
        return replace(self, folder=folder)

    def vary(self, parents: Sequence[Record[Vector]], rng: np.random.Generator) -> Any:
        if self.how == "gate":
            ALOFT.release()
            GATE.wait(10.0)
        time.sleep(self.seconds)
        with (self.folder / "questions").open("a") as account:
            account.write(f"{threading.current_thread().name}\n")
        if len((self.folder / "questions").read_text().splitlines()) > self.cap:
            raise BudgetSpent(f"{self.cap} questions were asked, as many as allowed.")
        if self.how == "refused":
            raise Infertile("the edit was out of its region")
        step = rng.normal(0.0, 0.1, len(parents[0].genome.values))
        child = Vector(np.clip(parents[0].genome.values + step, 0.0, 1.0), BOX)
        return Offspring(child, {"change": "it may help", "shown": len(parents)})


def asking(births: int, operator: Asking = Asking()) -> Experiment[Vector]:
    def search() -> Genetic[Vector]:
        return Genetic(
            founders=founders(4),
            operators=[operator, GaussianMutation(sigma=0.1)],
            selection=Truncation(),
            mating=Tournament(),
            objectives=unruly("fine", Path()).fitness.objectives,
            size=6,
            pace=Steady(5),
        )

    return Experiment("asking", search, unruly("fine", Path()).fitness, births)


class TestBeside(WorkersContract):
    def workers(self, fitness: object, slots: int) -> Workers:
        assert isinstance(fitness, Sums)
        return Beside(InProcess([fitness]), 4)


def test_children_come_with_the_facts_of_their_making(tmp_path: Path) -> None:
    run = evolve.run(asking(24), tmp_path / "run")
    children = [record for record in run.records if record.operator == "asking"]
    assert len(children) > 5
    assert {record.facts["change"] for record in children} == {"it may help"}
    threads = (tmp_path / "run/questions").read_text().split()
    assert len(threads) == len(children)
    assert all(name.startswith("thread-") for name in threads)


def test_threads_change_nothing(tmp_path: Path) -> None:
    quick = evolve.run(asking(24), tmp_path / "quick")
    slow = evolve.run(asking(24, Asking(seconds=0.03)), tmp_path / "slow")
    assert quick.digest == slow.digest


def test_all_that_fly_ask_at_once_and_hold_no_worker(tmp_path: Path) -> None:
    """Four births are asked at once, and a worker is free all the while."""
    crew = Beside(InProcess([Sums()]), 4)
    parent = sent(Record(0, founders(1)[0], "x", evolve.Score((1.0,))))
    operator = Asking(how="gate", folder=tmp_path)
    for birth in range(4):
        crew.submit(Variation((birth,), (1,), 1, operator, (parent,), 0, WAITS))
    for _ in range(4):
        assert ALOFT.acquire(timeout=10.0)
    assert crew.free(WAITS) == 0
    assert crew.free(Needs()) == 1
    assert crew.wait() == []  # nothing has landed, and nobody is kept waiting for it
    GATE.set()
    found: list[int] = []
    while len(found) < 4:
        found += [outcome.task.births[0] for outcome in crew.wait()]
    assert sorted(found) == [0, 1, 2, 3]
    assert crew.free(WAITS) == 4


def test_a_spent_budget_stops_the_run_and_a_raised_one_goes_on(tmp_path: Path) -> None:
    class Words:
        said: list[str] = []  # noqa: RUF012

        def started(self, experiment: Any, births: int) -> None: ...
        def resumed(self, told: int, elites: Any) -> None: ...
        def told(self, record: Any) -> None: ...
        def says(self, words: str) -> None:
            self.said.append(words)

    whole = evolve.run(asking(30), tmp_path / "whole")
    run = conduct(asking(30, Asking(cap=3)), tmp_path / "run", watcher=Words())
    assert 7 <= len(run.records) < 30
    assert "finished" not in run.facts
    assert run.outcomes["halted"] >= 1
    assert any("3 questions were asked" in words for words in Words.said)
    more = conduct(asking(30), tmp_path / "run", resume=True)
    assert more.digest == whole.digest
    assert "finished" in more.facts


@dataclass(frozen=True)
class Locked:
    """Scores while its door is open; a machine that is not as required says `Halt`."""

    door: Path
    batch: int = 1
    objectives: tuple[evolve.Objective, ...] = (evolve.Objective("first"),)
    rungs: tuple[int, ...] = (1,)

    @property
    def needs(self) -> Needs:
        return Needs(batch=self.batch)

    def evaluate(self, genomes: Sequence[Vector], rung: int, seed: int) -> list[evolve.Score]:
        if not self.door.exists() and genomes[0].values[0] < 0.5:
            raise IsolationError("this machine isolates too little")
        return [evolve.Score((float(genome.values[0]),)) for genome in genomes]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_machine_that_is_not_as_required_stops_the_run_and_fails_no_genome(
    tmp_path: Path, batch: int
) -> None:
    experiment = replace(asking(20), fitness=Locked(tmp_path / "door", batch))
    run = conduct(experiment, tmp_path / "run")
    assert len(run.records) < 20
    assert run.outcomes["halted" if batch == 1 else "halted in a batch"] >= 1
    assert all(record.score.error is None for record in run.records)
    (tmp_path / "door").touch()
    more = conduct(experiment, tmp_path / "run", resume=True)
    assert len(more.records) == 20
    assert all(record.score.error is None for record in more.records)
    assert more.digest == evolve.run(experiment, tmp_path / "whole").digest


def test_a_resume_without_the_model_that_it_had_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODEL, "qwen")
    conduct(asking(12, Asking(cap=1)), tmp_path / "run")
    monkeypatch.delenv(MODEL)
    with pytest.raises(ExperimentError, match="the language model qwen, and there is none"):
        conduct(asking(12), tmp_path / "run", resume=True)
    assert len(conduct(asking(12), tmp_path / "run", resume=True, accept_changes=True).records)


@pytest.mark.parametrize(
    ("before", "after", "forgets"),
    [("qwen", "", True), ("", "qwen", True), ("qwen", "llama", False)],
)
def test_snapshots_of_other_operators_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str, forgets: bool
) -> None:
    """With a language model there are operators that are not there without."""
    forgotten: list[Path] = []
    monkeypatch.setattr(Ledger, "forget_snapshots", lambda self: forgotten.append(self.folder))
    out = tmp_path / "run"
    monkeypatch.setenv(MODEL, before)
    conduct(asking(5), out)
    monkeypatch.setenv(MODEL, after)
    run = conduct(asking(7), out, resume=True, births=7, accept_changes=True)
    assert len(run.records) == 7
    assert forgotten == [out] * forgets


def test_a_resume_with_another_model_writes_down_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model, resume in (("qwen", False), ("llama", True)):
        monkeypatch.setenv(MODEL, model)
        run = conduct(asking(6), tmp_path / "run", resume=resume)
        written = run.facts["surroundings"]
        assert isinstance(written, dict)
        assert written[MODEL] == model


def test_a_refusal_leaves_a_copy_and_its_reason(tmp_path: Path) -> None:
    run = evolve.run(asking(16, Asking(how="refused")), tmp_path / "run")
    copies = [record for record in run.records if record.operator == "asking"]
    assert copies
    assert all("copied" in record.facts for record in copies)
    assert run.refusals == {("asking", "the edit was out of its region"): 3 * len(copies)}


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_a_child_that_lands_wakes_a_free_worker(tmp_path: Path) -> None:
    here = evolve.run(asking(20), tmp_path / "here")
    away = evolve.run(asking(20, Asking(seconds=0.05)), tmp_path / "away", workers=2)
    assert away.digest == here.digest
