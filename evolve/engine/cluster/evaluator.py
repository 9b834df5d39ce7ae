"""What runs in an actor: the fitnesses, unpickled once, and the limits of its process.

Knows neither the driver nor the other workers.
"""

from __future__ import annotations

import os
import pickle
import resource
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evolve.engine.cluster.letters import Address, post
from evolve.engine.workers import Job, Task, answered
from evolve.score import Fitness

ORPHANED = 3.0  # seconds between two looks for the raylet


@dataclass(frozen=True)
class Luggage:
    """What every worker of a run is given once."""

    archive: bytes  # the experiment's code
    sha256: str  # of the archive
    roots: tuple[str, ...]  # where that code lies on the driver's machine
    evolve_sha256: str  # of the driver's evolve, operators and fitness
    home: str  # where the driver's are, as `home` names it
    fitnesses: bytes  # pickled
    post: Address | None = None  # where word of what ended goes


@dataclass(frozen=True)
class Place:
    """Where a worker is."""

    pid: int
    node: str  # Ray's id of it
    host: str  # as `host` names it


class Evaluator:
    """One worker's process: `memory` bytes beyond what it begins with, if it is not 0."""

    def __init__(self, name: str, luggage: Luggage, memory: int) -> None:
        import ray.cloudpickle

        import evolve
        from evolve.engine.unfold import import_roots, same_evolve

        if home() != luggage.home:  # the driver's own files may be edited while it runs
            same_evolve(luggage.evolve_sha256)
        roots = import_roots(luggage.archive, luggage.sha256, luggage.roots)
        for path in reversed([str(root) for root in roots]):
            if path not in sys.path:
                sys.path.insert(0, path)
        evolve.guard()
        self._fitnesses: Sequence[Fitness[Any]] = ray.cloudpickle.loads(luggage.fitnesses)
        self._name, self._post = name, luggage.post
        self._busy = threading.Lock()
        threading.Thread(target=self._end_with_node, args=(os.getppid(),), daemon=True).start()
        if memory:
            hold_memory(memory)

    def ready(self) -> Place:
        """Where this is, once the fitnesses are there."""
        import ray

        return Place(os.getpid(), ray.get_runtime_context().get_node_id(), host())

    def answer(self, letter: bytes) -> bytes:
        """What becomes of a `sealed` task: an `Answer`, pickled."""
        task: Task = pickle.loads(letter)
        with self._busy:
            answer = answered(self._fitnesses, task)
        if self._post is not None:
            post(self._post, task, self._name, answer.seconds)
        return pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)

    def _end_with_node(self, raylet: int) -> None:
        """End this process when its raylet is gone: Ray 2.60 leaves such workers behind."""
        while os.getppid() == raylet:
            time.sleep(ORPHANED)
        self._busy.acquire(timeout=20 * ORPHANED)  # what it does may end, and say so
        time.sleep(1.0)
        os._exit(1)


def sealed(task: Task) -> bytes:
    """`task` as it travels. A job is plain data, which pickle writes faster than Ray would."""
    if isinstance(task, Job):
        return pickle.dumps(task, pickle.HIGHEST_PROTOCOL)
    import ray.cloudpickle

    dumps: Any = ray.cloudpickle.dumps
    found: bytes = dumps(task)  # an operator may be anything
    return found


def host() -> str:
    """This machine, or container: where a process id means the same process."""
    return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"


def home() -> str:
    """The machine, and the folder of evolve on it, of this process."""
    import evolve

    return f"{host()}:{os.path.dirname(evolve.__file__)}"


def hold_memory(more: int) -> None:
    """Let this process allocate `more` bytes of data beyond what it has now, and no more.

    `RLIMIT_DATA` counts private writable memory. `RLIMIT_AS` would count the 8 GB that Ray maps
    at its start, and kill the worker there.
    """
    with open("/proc/self/status", encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status)
    now = int(lines["VmData"].split()[0]) * 1024
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = now + more if hard == resource.RLIM_INFINITY else min(now + more, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
