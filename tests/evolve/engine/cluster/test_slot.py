"""A worker's clocks, and that only a worker of ours is killed by its process id."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from evolve.engine.cluster.evaluator import Place, host
from evolve.engine.cluster.slot import Slot, kill_here
from evolve.engine.states import WorkerState
from evolve.score import Needs
from tests.contracts.workers import job


class Actor:
    """Takes tasks and does nothing."""

    class answer:
        @staticmethod
        def remote(task: object) -> object:
            return ("pending", task)


def ready(needs: Needs) -> Slot:
    slot = Slot(needs, name="w", state=WorkerState.STARTING, actor=Actor())
    slot.ready(Place(1, "node", "elsewhere"))
    return slot


def test_a_task_s_limit_runs_from_its_sending() -> None:
    slot = ready(Needs(startup=7.0))
    assert (slot.limit, slot.left) == (None, None)
    time.sleep(0.05)
    task = job(0.1)
    slot.send(task)
    assert slot.limit is None
    slot.done()
    slot.send(type(task)(**{**vars(task), "needs": Needs(timeout=5.0)}))
    assert slot.limit == 5.0
    assert slot.left is not None
    assert 4.9 < slot.left <= 5.0
    slot.done()
    assert slot.limit is None


def test_a_start_has_its_own_limit() -> None:
    slot = Slot(Needs(startup=7.0, timeout=1.0))
    assert not slot.lives
    assert slot.limit is None
    slot._move(WorkerState.STARTING)
    assert slot.limit == 7.0
    assert slot.lives


def test_a_busy_slot_takes_no_second_task() -> None:
    slot = ready(Needs())
    slot.send(job(0.1))
    with pytest.raises(AssertionError, match="no way from busy to busy"):
        slot.send(job(0.1))


def test_only_ray_s_processes_of_this_machine_are_killed() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        kill_here(Place(process.pid, "node", host()))  # its name is not a worker's
        kill_here(Place(process.pid, "node", "elsewhere"))
        time.sleep(0.1)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    kill_here(Place(process.pid, "node", host()))  # gone: no error
