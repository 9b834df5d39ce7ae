"""Operators in workers: planned, varied there, born; a killed worker costs that attempt only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evolve
from evolve import Experiment, Genetic, Needs, Policy, Record, Steady
from evolve.engine.events import Event, Kind
from evolve.engine.loop import Loop
from evolve.engine.run import conduct
from evolve.engine.workers import InProcess, Outcome, Variation
from evolve.errors import Infertile
from evolve.genomes.vector import Vector
from evolve.store.ledger import Ledger
from evolve.store.schema import Stage
from operators.selection import Tournament, Truncation
from operators.vector import GaussianMutation
from tests.evolve.engine.problems import BOX, founders, unruly

AWAY = Needs(cpus=0.5)


@dataclass(frozen=True)
class Learned:
    """A Gaussian step made in a worker; `how`: fine | infertile | raise | die | once | strange."""

    how: str = "fine"
    scratch: Path = Path()
    name: str = "learned"
    arity: int = 1
    needs: Needs = field(default_factory=lambda: AWAY)

    def vary(self, parents: Sequence[Record[Vector]], rng: np.random.Generator) -> Any:
        if self.how == "infertile":
            raise Infertile("these parents have no child")
        if self.how == "raise":
            raise RuntimeError("the training diverged")
        if self.how == "die":
            os._exit(9)
        if self.how == "once":
            mark = self.scratch / f"{parents[0].birth}-{parents[0].digest[:8]}"
            if not mark.exists():
                mark.touch()
                os._exit(9)
        if self.how == "strange":
            return "no genome"
        step = rng.normal(0.0, 0.1, len(parents[0].genome.values))
        return Vector(np.clip(parents[0].genome.values + step, 0.0, 1.0), BOX)


def planning(births: int, how: str = "fine", scratch: Path = Path()) -> Experiment[Vector]:
    """One objective; half of the children are made in workers."""

    def search() -> Genetic[Vector]:
        return Genetic(
            founders=founders(4),
            operators=[Learned(how, scratch), GaussianMutation(sigma=0.1)],
            selection=Truncation(),
            mating=Tournament(),
            objectives=unruly("fine", Path()).fitness.objectives,
            size=6,
            pace=Steady(5),
        )

    return Experiment("planning", search, unruly("fine", Path()).fitness, births)


def test_a_planned_birth_is_varied_then_born_then_scored(tmp_path: Path) -> None:
    events: list[Event] = []
    run = conduct(planning(30), tmp_path / "run", observers=[events.append])
    learned = [record.birth for record in run.records if record.operator == "learned"]
    assert len(learned) > 5
    for birth in learned:
        kinds = [event.kind for event in events if event.birth == birth]
        assert kinds == [
            Kind.PLANNED, Kind.DISPATCHED, Kind.ANSWERED, Kind.BORN,
            Kind.DISPATCHED, Kind.ANSWERED, Kind.TOLD,
        ]  # fmt: skip
    for record in run.records:
        if record.operator == "learned":
            assert len(record.parents) == 1
            assert record.parents[0] < record.birth
    assert run.outcomes == {"scored": 30, "varied": len(learned)}


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_workers_vary_as_this_process_does(tmp_path: Path) -> None:
    here = evolve.run(planning(24), tmp_path / "here")
    away = evolve.run(planning(24), tmp_path / "away", workers=2)
    assert away.digest == here.digest


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_a_worker_killed_in_the_middle_costs_that_attempt_only(tmp_path: Path) -> None:
    experiment = planning(12, "once", tmp_path)
    whole = evolve.run(planning(12), tmp_path / "whole")
    run = evolve.run(experiment, tmp_path / "run", workers=2)
    assert run.digest == whole.digest
    assert all(record.score.error is None for record in run.records)
    assert run.outcomes["worker lost"] > 0
    assert not any("copied" in record.facts for record in run.records)


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_an_operator_that_kills_its_workers_leaves_a_copy_of_the_parent(tmp_path: Path) -> None:
    experiment = replace(planning(11, "die"), policy=Policy(worker_lost=2))
    run = evolve.run(experiment, tmp_path / "run", workers=2)
    copies = [record for record in run.records if record.operator == "learned"]
    assert copies
    by_birth = {record.birth: record for record in run.records}
    for record in copies:
        assert record.facts["copied"] == "learned failed: worker lost"
        assert record.digest == by_birth[record.parents[0]].digest
        assert record.score.values == by_birth[record.parents[0]].score.values
    assert run.outcomes["worker lost"] == 2 * len(copies)
    assert run.outcomes["scored"] == 11 - len(copies), "a copy is answered from the ledger"


@pytest.mark.parametrize(
    ("how", "kind", "tries"), [("infertile", "infertile", 3), ("raise", "exception", 2),
                               ("strange", "invalid", 1)],
)  # fmt: skip
def test_an_operator_that_fails_is_tried_by_the_policy(
    tmp_path: Path, how: str, kind: str, tries: int
) -> None:
    run = evolve.run(planning(14, how), tmp_path / "run")
    copies = [record for record in run.records if record.operator == "learned"]
    assert copies
    assert run.outcomes[kind] == tries * len(copies)
    assert {record.facts["copied"] for record in copies} == {f"learned failed: {kind}"}


class Stopping(InProcess):
    """Ctrl-C when a variation is under way for the `n`-th time."""

    n = 3

    def wait(self, patience: float | None = None) -> list[Outcome]:
        if isinstance(self._waiting[0], Variation):
            self.n -= 1
            if not self.n:
                raise KeyboardInterrupt
        return super().wait(patience)


def test_a_plan_is_taken_up_where_it_was_left(tmp_path: Path) -> None:
    whole = evolve.run(planning(30), tmp_path / "whole")
    experiment = planning(30)
    ledger = Ledger.create(tmp_path / "run", {"name": "x", "births": 30})
    ledger.begin_epoch({})
    workers = Stopping([experiment.fitness], 4)
    with pytest.raises(KeyboardInterrupt):
        Loop(experiment, experiment.search(), ledger, workers, 30).run()  # type: ignore[arg-type]
    planned = [each for each in ledger.unfinished() if each.digest is None]
    assert planned
    assert planned[0].operator == "learned"
    ledger.begin_epoch({})
    Loop(experiment, experiment.search(), ledger, InProcess([experiment.fitness]), 30).run()  # type: ignore[arg-type]
    assert ledger.outcomes()["driver lost"] > 0
    assert ledger.digest() == whole.digest
    ledger.close()


def test_the_stage_of_an_attempt_is_in_the_ledger(tmp_path: Path) -> None:
    evolve.run(planning(14, "raise"), tmp_path / "run")
    ledger = Ledger.open(tmp_path / "run", write=False)
    (copy, *_) = [record for record in ledger.records() if "copied" in record.facts]
    assert ledger.failures(copy.birth, Stage.VARY) == ["exception", "exception"]
    assert ledger.failures(copy.birth, Stage.EVALUATE) == []
    ledger.close()
