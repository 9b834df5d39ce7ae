"""Workers on Ray, on this machine or at an address. The only file that imports ray.

One actor a slot, no restarts and no retries by Ray: they hide causes and run things twice. An
actor is killed on a timeout, whose clock starts when the actor is ready and busy; a lost actor
is replaced, and its job comes back as a failure for the loop to judge.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve.engine.workers import THREADS, Job, Outcome, evaluate
from evolve.errors import WorkerError
from evolve.score import Fitness, Needs, Score

STARTUP = 120.0  # seconds an actor may take to become ready


class Evaluator:
    """What runs in an actor: the fitnesses, unpickled once."""

    def __init__(self, paths: Sequence[str], fitnesses: bytes) -> None:
        import ray.cloudpickle

        import evolve

        for path in reversed(paths):
            if path not in sys.path:
                sys.path.insert(0, path)
        evolve.guard()
        self._fitnesses: Sequence[Fitness[Any]] = ray.cloudpickle.loads(fitnesses)

    def ready(self) -> int:
        """The process id, once the fitnesses are there."""
        return os.getpid()

    def evaluate(self, job: Job) -> tuple[tuple[Score, ...] | None, str, str, float]:
        """As `workers.evaluate`, with the seconds it took."""
        start = time.perf_counter()
        scores, failure, detail = evaluate(self._fitnesses, job)
        return scores, failure, detail, time.perf_counter() - start


@dataclass
class _Slot:
    """One actor and what it is doing."""

    name: str
    actor: Any
    starting: Any  # the reference of its `ready`, None once it is
    since: float
    job: Job | None = None
    result: Any = None


class RayWorkers:
    """`count` actors, each with the resources of `needs`.

    `address`: None starts a cluster for this run on this machine, and stops it; "auto" or
    HOST:PORT joins one. A process that is already connected stays connected. `paths` go first
    on the workers' import path. Raises `WorkerError` before any work if the cluster cannot
    serve `count` workers.
    """

    def __init__(
        self,
        fitnesses: Sequence[Fitness[Any]],
        count: int,
        *,
        needs: Needs,
        address: str | None = None,
        paths: Sequence[Path] = (),
    ) -> None:
        import ray

        self.slots = count
        self._needs = needs
        self._timeouts = tuple(fitness.needs.timeout for fitness in fitnesses)
        self._paths = [str(path.resolve()) for path in paths]
        self._owns = not ray.is_initialized()
        if self._owns:
            _connect(address, count, needs)
        try:
            _preflight(count, needs)
            self._payload = _pickled(fitnesses)
            self._born = 0
            self._slots = [self._start() for _ in range(count)]
            self._await_start()
        except BaseException:
            self.close()
            raise

    @property
    def free(self) -> int:
        return sum(slot.job is None for slot in self._slots)

    def submit(self, job: Job) -> None:
        slot = next(slot for slot in self._slots if slot.job is None)
        slot.job = job
        if slot.starting is None:
            self._send(slot)

    def wait(self) -> list[Outcome]:
        import ray

        while True:
            pending = [slot.starting or slot.result for slot in self._slots if self._busy(slot)]
            ready, _ = ray.wait(pending, num_returns=1, timeout=self._patience())
            outcomes = []
            for i, slot in enumerate(self._slots):
                if slot.starting is not None and (slot.starting in ready or self._late(slot)):
                    self._became_ready(slot)
                elif slot.job is not None and slot.result in ready:
                    outcomes.append(self._finished(i, slot, slot.job))
                elif slot.job is not None and self._late(slot):
                    ray.kill(slot.actor)
                    limit = self._timeouts[slot.job.fitness]
                    words = f"no answer in {limit:g} s; the worker was killed"
                    outcomes.append(self._lost(i, slot, slot.job, "timeout", words))
            if outcomes:
                return outcomes

    def close(self) -> None:
        import ray

        for slot in getattr(self, "_slots", []):
            with contextlib.suppress(Exception):  # a dead actor cannot be killed twice
                ray.kill(slot.actor)
        if self._owns and ray.is_initialized():
            ray.shutdown()

    # --- slots -------------------------------------------------------------------------------

    def _start(self) -> _Slot:
        import ray

        environment = dict.fromkeys(THREADS, "1")
        remote: Any = ray.remote(Evaluator)
        actor = remote.options(
            num_cpus=self._needs.cpus,
            num_gpus=self._needs.gpus,
            memory=self._needs.memory or None,
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": environment},
        ).remote(self._paths, self._payload)
        self._born += 1
        return _Slot(f"ray-{self._born}", actor, actor.ready.remote(), time.monotonic())

    def _await_start(self) -> None:
        """Wait for the first actor, so that a set-up that fails everywhere stops here."""
        import ray

        ray.wait([slot.starting for slot in self._slots], num_returns=1, timeout=STARTUP)
        for slot in self._slots:
            if ray.wait([slot.starting], timeout=0)[0]:
                self._became_ready(slot)

    def _became_ready(self, slot: _Slot) -> None:
        import ray

        try:
            ray.get(slot.starting, timeout=0)
        except ray.exceptions.GetTimeoutError:
            raise WorkerError(
                f"The Ray worker {slot.name} was not ready after {STARTUP:g} s; is the cluster "
                "overloaded, or does the experiment load its data at import?"
            ) from None
        except ray.exceptions.RayError as error:
            raise WorkerError(f"The Ray worker {slot.name} cannot be set up:\n{error}") from None
        slot.starting = None
        if slot.job is not None:
            self._send(slot)

    def _send(self, slot: _Slot) -> None:
        slot.result = slot.actor.evaluate.remote(slot.job)
        slot.since = time.monotonic()

    def _finished(self, i: int, slot: _Slot, job: Job) -> Outcome:
        import ray

        try:
            scores, failure, detail, seconds = ray.get(slot.result)
        except ray.exceptions.OutOfMemoryError as error:
            return self._lost(i, slot, job, "out of memory", str(error))
        except ray.exceptions.RayError as error:
            return self._lost(i, slot, job, "worker lost", str(error))
        slot.job = slot.result = None
        return Outcome(job, seconds, slot.name, scores, failure, detail)

    def _lost(self, i: int, slot: _Slot, job: Job, failure: str, detail: str) -> Outcome:
        """The outcome of a job whose actor is gone; a new actor takes its slot."""
        self._slots[i] = self._start()
        seconds = time.monotonic() - slot.since
        return Outcome(job, seconds, slot.name, None, failure, detail)

    @staticmethod
    def _busy(slot: _Slot) -> bool:
        return slot.starting is not None or slot.job is not None

    def _limit(self, slot: _Slot) -> float | None:
        if slot.starting is not None:
            return STARTUP
        return None if slot.job is None else self._timeouts[slot.job.fitness]

    def _late(self, slot: _Slot) -> bool:
        limit = self._limit(slot)
        return limit is not None and time.monotonic() - slot.since > limit

    def _patience(self) -> float | None:
        """Seconds until the next limit runs out; None if there is none."""
        now = time.monotonic()
        limits = [(slot.since, self._limit(slot)) for slot in self._slots if self._busy(slot)]
        left = [since + limit - now for since, limit in limits if limit is not None]
        return max(0.0, min(left)) + 0.01 if left else None


def _connect(address: str | None, count: int, needs: Needs) -> None:
    import ray

    if address is None and not os.access(Path.home(), os.W_OK):
        # Ray 2.60 writes a token below HOME even for a cluster of one process tree.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    local = address is None
    if address is not None and address != "auto":
        _reach(address)
    cpus = max(os.cpu_count() or 1, math.ceil(count * needs.cpus)) if local else None
    try:
        ray.init(
            address="local" if local else address,
            num_cpus=cpus,
            include_dashboard=False if local else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = "on this machine" if address is None else f"at {address}"
        raise WorkerError(
            f"Ray cannot be reached {where}: {error}. Start it (`ray start --head`), mend the "
            "address, or use `--workers 0` to run in this process."
        ) from error


def _reach(address: str) -> None:
    """Raise `WorkerError` if nothing listens: ray.init would wait for minutes."""
    host, _, port = address.rpartition(":")
    try:
        if not host or not port.isdecimal():
            raise OSError("not auto and not HOST:PORT")
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise WorkerError(
            f"Ray cannot be reached at {address}: {error}. Start it (`ray start --head`), mend "
            "the address, or use `--workers 0` to run in this process."
        ) from error


def _pickled(fitnesses: Sequence[Fitness[Any]]) -> bytes:
    import ray.cloudpickle

    dumps: Any = ray.cloudpickle.dumps
    try:
        return bytes(dumps(tuple(fitnesses)))
    except Exception as error:  # a user's __reduce__ may raise anything
        raise WorkerError(
            f"The fitness cannot be sent to workers ({type(error).__name__}: {error}); hold what "
            "rebuilds it (a path, a name) and load the rest at its first use."
        ) from error


def _preflight(count: int, needs: Needs) -> None:
    import ray

    cluster: Any = ray  # ray.nodes and ray.cluster_resources carry no types
    nodes = [node for node in cluster.nodes() if node["Alive"]]
    if len(nodes) > 1:
        raise WorkerError(
            f"The cluster has {len(nodes)} nodes; this version runs on one node only. Give the "
            "address of a single node, or no address."
        )
    total = cluster.cluster_resources()
    asked = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": float(needs.memory)}
    for name, each in asked.items():
        if each * count > total.get(name, 0.0):
            raise WorkerError(
                f"{count} workers need {each * count:g} {name}, the cluster has "
                f"{total.get(name, 0.0):g}; use fewer workers or lower the fitness's Needs."
            )
