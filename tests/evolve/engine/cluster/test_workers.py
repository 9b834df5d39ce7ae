"""Ray workers: the same run for any number of them; hangs, crashes and bad requests."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import evolve
from evolve import Needs
from evolve.engine.cluster.luggage import packed_for
from evolve.engine.cluster.workers import RayWorkers
from evolve.engine.snapshot import snapshot
from evolve.engine.workers import Workers
from evolve.errors import WorkerError
from evolve.genomes.vector import Vector
from evolve.score import Objective, Score
from tests.contracts.workers import Sums, WorkersContract
from tests.evolve.engine.problems import ONE_FOUNDER, Unruly, dtlz, unruly

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]


def ray_workers(fitness: object, slots: int) -> RayWorkers:
    return RayWorkers(packed_for([fitness], snapshot(None)), slots, needs=[Needs()])  # type: ignore[list-item]


class TestRayWorkers(WorkersContract):
    """All on the same two workers: what one test leaves in them must not show in the next."""

    slots = 2

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _crew(cls, cluster: None) -> Iterator[None]:
        cls.crew = ray_workers(Sums(), cls.slots)
        yield
        cls.crew.close()

    def workers(self, fitness: object, slots: int) -> RayWorkers:
        assert (type(fitness), slots) == (Sums, self.slots)
        return self.crew

    def end(self, workers: Workers) -> None:
        """They stay for the next test."""


@pytest.mark.slow
def test_the_run_does_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    alone = evolve.run(dtlz(80), tmp_path / "0")
    for n in (1, 2, 4):
        assert evolve.run(dtlz(80), tmp_path / str(n), workers=n).digest == alone.digest


def test_a_hang_is_killed_and_recorded_and_the_run_goes_on(tmp_path: Path) -> None:
    experiment = unruly("hang", tmp_path, births=8, share=ONE_FOUNDER, timeout=0.5)
    run = evolve.run(experiment, tmp_path / "run", workers=2)
    slow = [record for record in run.records if record.score.error is not None]
    assert len(run.records) == 8
    assert slow
    assert all(str(record.score.error).startswith("timeout") for record in slow)
    assert all(record.genome.values[0] <= ONE_FOUNDER for record in slow)


def test_a_crash_is_tried_three_times_and_recorded(tmp_path: Path) -> None:
    experiment = unruly("die", tmp_path, births=7, share=ONE_FOUNDER)
    run = evolve.run(experiment, tmp_path / "run", workers=2)
    lost = [record for record in run.records if record.score.error is not None]
    assert lost
    assert len(run.records) == 7
    assert all(str(record.score.error).startswith("worker lost") for record in lost)
    assert run.outcomes["worker lost"] == 3 * len(lost)


def test_a_crash_at_the_first_attempt_changes_nothing(tmp_path: Path) -> None:
    whole = evolve.run(unruly("fine", tmp_path, births=7), tmp_path / "whole")
    experiment = replace(unruly("once", tmp_path, births=7, share=ONE_FOUNDER), name="fine")
    run = evolve.run(experiment, tmp_path / "run", workers=2)
    assert run.outcomes["worker lost"] > 0
    assert run.digest == whole.digest


def test_more_than_the_cluster_has_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"A worker needs 1 CPU, 1 GPU; no node .* 0 GPU"):
        evolve.run(unruly("fine", tmp_path, gpus=1), tmp_path / "run", workers=2)


def test_a_fitness_that_cannot_be_unpickled_stops_the_run_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="not on this worker"):
        ray_workers(Unpicklable(), 1)


def _fail() -> None:
    raise ImportError("not on this worker")


class Unpicklable:
    needs = Needs()

    def __reduce__(self) -> tuple[object, ...]:
        return (_fail, ())


def test_a_fitness_that_cannot_be_pickled_stops_the_run_with_the_reason(tmp_path: Path) -> None:
    experiment = replace(unruly("fine", tmp_path), fitness=Locked())
    with pytest.raises(WorkerError, match=r"cannot be sent to workers \(TypeError: .*lock"):
        evolve.run(experiment, tmp_path / "run", workers=1)
    assert not (tmp_path / "run" / "ledger.sqlite").exists()


class Locked(Unruly):
    """Holds what cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("fine", Path())
        object.__setattr__(self, "lock", threading.Lock())


def test_a_fitness_defined_in_a_script_reaches_the_workers(tmp_path: Path) -> None:
    """What has no importable module travels by value."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    source = (
        "from evolve import Needs, Objective, Score\n"
        "class Local:\n"
        "    objectives, rungs, needs = (Objective('loss'),), (1,), Needs()\n"
        "    def evaluate(self, genomes, rung, seed):\n"
        "        return [Score((float(g.values.sum()),)) for g in genomes]\n"
    )
    exec(source, namespace)
    local = namespace["Local"]
    assert isinstance(local, type)
    experiment = replace(unruly("fine", tmp_path, births=6), fitness=local())
    run = evolve.run(experiment, tmp_path / "run", workers=1)
    assert [r.score.values[0] for r in run.records] == [
        float(r.genome.values.sum()) for r in run.records
    ]


@dataclass(frozen=True)
class Threads:
    """A score is how many threads a worker's libraries were told to start with."""

    objectives: tuple[Objective, ...] = (Objective("threads"),)
    rungs: tuple[int, ...] = (1,)
    needs: Needs = Needs(cpus=1.0, threads=2)  # noqa: RUF009  (frozen)

    def evaluate(self, genomes: Sequence[Vector], rung: int, seed: int) -> list[Score]:
        return [Score((float(os.environ.get("OMP_NUM_THREADS", "0")),)) for _ in genomes]


def test_a_worker_starts_with_the_threads_it_needs(tmp_path: Path) -> None:
    experiment = replace(dtlz(2), fitness=Threads())
    run = evolve.run(experiment, tmp_path / "run", workers=1)
    assert [record.score.values for record in run.records] == [(2.0,), (2.0,)]
