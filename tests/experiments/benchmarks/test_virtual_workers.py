"""Virtual workers under the real loop: the run is the one that has no trouble."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from evolve import Experiment, Policy
from evolve.engine.events import Event, Kind
from evolve.engine.loop import Loop
from evolve.engine.workers import InProcess, Job, Workers, packed
from evolve.failure import Failure
from evolve.genomes.vector import Box, Vector
from evolve.score import Needs
from evolve.store.ledger import Ledger
from evolve.streams import Stream, rng_for
from experiments.benchmarks.simulation import SINGLE, search
from experiments.benchmarks.virtual_workers import NONE, WRONG, Simulated, Trouble

WINDOW, BIRTHS = 200, 2_000
OFTEN = Trouble(0.03, 0.004, 0.02, 0.02, 0.02, late=0.5)
GENOME = Vector.random(Box.of(0.0, 1.0, 2), rng_for(0, 0, Stream.ASK))
PATIENT = Policy(50, 50, 50, 50, 50, 50, 50)  # no failure is final: it could not be repeated


def experiment(births: int) -> Experiment[Vector]:
    build = partial(search, SINGLE, WINDOW)
    return Experiment("simulated", build, SINGLE, births, policy=PATIENT)


class Looking:
    """What is seen of a run: every event, what was told, and how much its loop held at most."""

    def __init__(self, out: Path, workers: Workers, births: int) -> None:
        self.kinds: Counter[Kind] = Counter()
        self.told: list[int] = []
        self.most = 0
        with closing(Ledger.create(out, {})) as ledger:
            ledger.begin_epoch({})
            found = experiment(births)
            self._loop = Loop(
                found, found.search(), ledger, workers, births,
                watch=lambda record: self.told.append(record.birth),
                observe=self._observe, turn=self._turn,
            )  # fmt: skip
            self._loop.run()
            self.digest, self.late = ledger.digest(), ledger.late()
            self.least = min(record.score.values[0] for record in ledger.records())
        self.left = len(self._loop._open) + len(self._loop._flying)

    def _observe(self, event: Event) -> None:
        self.kinds[event.kind] += 1

    def _turn(self) -> None:
        loop = self._loop
        held = (len(loop._open), len(loop._flying), len(loop._queues), len(loop._gathering))
        self.most = max(self.most, *held)


@pytest.fixture(scope="module")
def workers() -> Simulated:
    return Simulated(SINGLE, 50, OFTEN)


@pytest.fixture(scope="module")
def stormy(tmp_path_factory: pytest.TempPathFactory, workers: Simulated) -> Looking:
    return Looking(tmp_path_factory.mktemp("runs") / "stormy", workers, BIRTHS)


def test_trouble_changes_nothing_but_time(stormy: Looking, tmp_path: Path) -> None:
    calm = Looking(tmp_path / "calm", Simulated(SINGLE, 1, NONE), BIRTHS)
    assert stormy.digest == calm.digest
    assert stormy.told == calm.told == list(range(BIRTHS))
    assert calm.kinds[Kind.FAILED] == calm.late == 0


def test_all_troubles_came_and_no_late_result_was_heard(
    stormy: Looking, workers: Simulated
) -> None:
    assert set(workers.lost) == {
        *(Failure.WORKER_LOST, Failure.NODE_LOST, Failure.OUT_OF_MEMORY),
        *(Failure.TIMEOUT, Failure.EXCEPTION, "late"),
    }
    assert stormy.kinds[Kind.FENCED] == stormy.late > 0
    assert stormy.kinds[Kind.FAILED] == workers.lost.total() - workers.lost["late"]
    assert stormy.least > WRONG


def test_a_loop_holds_no_more_than_the_window(stormy: Looking) -> None:
    assert WINDOW / 2 < stormy.most <= WINDOW
    assert stormy.left == 0


def test_they_score_as_workers_in_this_process_do(tmp_path: Path) -> None:
    real = Looking(tmp_path / "real", InProcess([SINGLE]), 300)
    assert real.digest == Looking(tmp_path / "virtual", Simulated(SINGLE, 7, OFTEN), 300).digest


def job(birth: int, attempt: int = 1) -> Job:
    return Job((birth,), (attempt,), 1, (packed(GENOME),), rung=0, seed=0)


def times(workers: Simulated, n: int) -> dict[int, float]:
    """When each of `n` births ended on as many workers."""
    for birth in range(n):
        workers.submit(job(birth))
    found = {}
    while len(found) < n:
        for outcome in workers.wait():
            found[outcome.task.births[0]] = workers.now
    return found


def test_times_are_drawn_from_births_not_workers() -> None:
    alike = times(Simulated(SINGLE, 8, NONE), 8)
    assert times(Simulated(SINGLE, 99, NONE), 8) == alike
    assert times(Simulated(SINGLE, 8, NONE, seed=1), 8) != alike
    assert len(set(alike.values())) == 8


def test_their_mean_is_one_and_their_tail_is_heavy() -> None:
    found = sorted(times(Simulated(SINGLE, 2_000, NONE), 2_000).values())
    assert sum(found) / len(found) == pytest.approx(1.0, abs=0.1)
    assert found[-1] > 10


def test_a_lost_node_takes_all_it_runs_and_comes_back() -> None:
    always = replace(NONE, node_lost=1.0, per_node=4, start=3.0, late=0.0)
    workers = Simulated(SINGLE, 8, always)
    for birth in range(6):
        workers.submit(job(birth))
    lost = workers.wait()
    assert {outcome.answer.failure for outcome in lost} == {Failure.NODE_LOST}
    node = {int(outcome.worker) // 4 for outcome in lost}
    assert len(node) == 1
    assert workers.free(Needs()) in (0, 2)  # of the other node
    then = workers.now
    assert len([outcome for _ in range(20) for outcome in workers.wait()]) == 6 - len(lost)
    assert workers.free(Needs()) == 8
    assert workers.now >= then + 3.0


def test_a_cut_off_worker_answers_late_and_wrongly() -> None:
    workers = Simulated(SINGLE, 1, replace(NONE, worker_lost=1.0, late=1.0))
    workers.submit(job(0))
    first, second = workers.wait(), workers.wait()
    assert first[0].answer.failure is Failure.WORKER_LOST
    assert second[0].task is first[0].task
    assert second[0].answer.scores is not None
    assert second[0].answer.scores[0].values == (WRONG,)


def test_fates_share_the_line() -> None:
    found = Counter(OFTEN.fate((i + 0.5) / 1_000) for i in range(1_000))
    assert found == {
        Failure.WORKER_LOST: 30, Failure.NODE_LOST: 4, Failure.OUT_OF_MEMORY: 20,
        Failure.TIMEOUT: 20, Failure.EXCEPTION: 20, None: 906,
    }  # fmt: skip
