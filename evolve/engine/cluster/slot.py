"""One worker's place: its actor, its state, its clocks. Knows no pool and no ledger."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve.engine.cluster.evaluator import Evaluator, Place, host, sealed
from evolve.engine.cluster.nodes import demand
from evolve.engine.states import WorkerState, step
from evolve.engine.workers import Task, pinned
from evolve.score import Needs


@dataclass
class Slot:
    """A worker from `waiting` to `dead`; the way back is a new actor under a new name."""

    needs: Needs
    name: str = ""
    state: WorkerState = WorkerState.WAITING
    actor: Any = None
    pending: Any = None  # the reference that ends `starting`, or `busy`
    since: float = 0.0  # when the state began, time.monotonic()
    place: Place | None = None
    task: Task | None = None

    def start(self, name: str, luggage: Any) -> None:
        """Make the actor: no restarts and no retries by Ray, which hide causes."""
        import ray

        asked = demand(self.needs)
        remote: Any = ray.remote(Evaluator)
        self.name = name
        self.actor = remote.options(
            num_cpus=asked.pop("CPU", 0),
            num_gpus=asked.pop("GPU", 0),
            memory=asked.pop("memory", None),
            resources=asked or None,
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": dict(pinned(self.needs.threads))},
        ).remote(name, luggage, 0 if self.needs.gpus else self.needs.memory)
        self.pending = self.actor.ready.remote()
        self._move(WorkerState.STARTING)

    def ready(self, place: Place) -> None:
        """The actor has told where it is."""
        self.place, self.pending = place, None
        self._move(WorkerState.READY)

    def send(self, task: Task) -> None:
        """Give it a task; its clock starts."""
        self.task, self.pending = task, self.actor.answer.remote(sealed(task))
        self._move(WorkerState.BUSY)

    def done(self) -> None:
        """The task has been answered."""
        self.task = self.pending = None
        self._move(WorkerState.READY)

    def die(self) -> None:
        """Kill the actor, if it lives; the slot waits for its next one."""
        import ray

        if self.place is not None:
            kill_here(self.place)
        ray.kill(self.actor)
        self.actor = self.pending = self.task = self.place = None
        self._move(WorkerState.DEAD)
        self._move(WorkerState.WAITING)

    @property
    def lives(self) -> bool:
        """Whether it holds resources of the cluster."""
        return self.state is not WorkerState.WAITING

    @property
    def limit(self) -> float | None:
        """Seconds that its state may last; None: for ever."""
        if self.state is WorkerState.STARTING:
            return self.needs.startup
        return self.task.needs.timeout if self.task is not None else None

    @property
    def left(self) -> float | None:
        """Seconds until the limit is passed; None if there is none."""
        return None if self.limit is None else self.since + self.limit - time.monotonic()

    def _move(self, to: WorkerState) -> None:
        self.state = step(self.state, to)
        self.since = time.monotonic()


def kill_here(place: Place) -> None:
    """Kill a worker of this machine at once: for a stopped process Ray takes five seconds."""
    if place.host != host():
        return
    with suppress(OSError):
        if Path(f"/proc/{place.pid}/cmdline").read_bytes().startswith(b"ray::"):
            os.kill(place.pid, signal.SIGKILL)
