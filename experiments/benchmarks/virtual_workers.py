"""Workers in virtual time, which lose attempts as drawn. Knows no ledger, no search and no Ray.

How long an attempt takes (1 on average, log-normal with sigma 1) and what befalls it is drawn
from the numbers of its birth and its attempt, whichever worker has it and whenever. A score is
computed when its time has come, in this process. Every outcome comes alone, but for those of a
lost node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush

import numpy as np

from evolve import Needs
from evolve.engine.workers import Answer, Job, Outcome, Task
from evolve.failure import Failure
from evolve.score import Score
from evolve.streams import Stream, rng_for
from fitness.problems import Problem

WRONG = -1e9  # what a late result says: a search that heard it would go astray


@dataclass(frozen=True)
class Trouble:
    """What befalls attempts, as shares of them; times are virtual."""

    worker_lost: float = 0.01
    node_lost: float = 0.0005  # each takes up to `per_node` attempts
    out_of_memory: float = 0.005
    timeout: float = 0.005
    exception: float = 0.01
    late: float = 0.2  # of the first two: only cut off, its result comes after all
    per_node: int = 8
    limit: float = 10.0  # of an evaluation, if it has the fate of passing it
    start: float = 5.0  # until a lost worker is there again

    def fate(self, u: float) -> Failure | None:
        """What `u`, uniform in [0, 1), means."""
        for failure, share in (
            (Failure.WORKER_LOST, self.worker_lost),
            (Failure.NODE_LOST, self.node_lost),
            (Failure.OUT_OF_MEMORY, self.out_of_memory),
            (Failure.TIMEOUT, self.timeout),
            (Failure.EXCEPTION, self.exception),
        ):
            if u < share:
                return failure
            u -= share
        return None


NONE = Trouble(0.0, 0.0, 0.0, 0.0, 0.0)


class Simulated:
    """`slots` workers in virtual time, under `trouble` drawn by `seed`; births of one genome."""

    def __init__(self, problem: Problem, slots: int, trouble: Trouble, seed: int = 0) -> None:
        self.slots = slots
        self.now = 0.0
        self.busy = 0.0  # worker-seconds
        self.lost: Counter[str] = Counter()
        self._problem, self._trouble, self._seed = problem, trouble, seed
        self._idle = dict.fromkeys(range(slots))
        self._running: dict[int, tuple[Task, float]] = {}  # by worker: and its late result's u
        self._coming: list[tuple[float, int, Callable[[], list[Outcome]]]] = []
        self._n = 0  # events so far: those of one time come in order

    def free(self, needs: Needs) -> int:
        return len(self._idle)

    def submit(self, task: Task) -> None:
        worker, _ = self._idle.popitem()
        rng = rng_for(self._seed, task.births[0] * 64 + min(task.attempts[0], 63), Stream.EVALUATE)
        seconds = float(rng.lognormal(-0.5, 1.0))  # 1 on average
        fate, late = self._trouble.fate(rng.random()), rng.random()
        if fate is Failure.TIMEOUT:
            seconds = self._trouble.limit
        self._running[worker] = task, late
        self._after(seconds, partial(self._end, worker, task, fate))

    def wait(self, patience: float | None = None) -> list[Outcome]:
        if not self._coming:
            return []
        then, _, happen = heappop(self._coming)
        self.busy += (then - self.now) * len(self._running)
        self.now = then
        return happen()

    def close(self) -> None:
        self._coming.clear()

    def _after(self, seconds: float, happen: Callable[[], list[Outcome]]) -> None:
        self._n += 1
        heappush(self._coming, (self.now + seconds, self._n, happen))

    def _end(self, worker: int, task: Task, fate: Failure | None) -> list[Outcome]:
        if worker not in self._running or self._running[worker][0] is not task:
            return []  # it was lost with its node before
        if fate is None:
            del self._running[worker]
            self._idle[worker] = None
            return [Outcome(task, Answer(scores=self._scores(task)), str(worker))]
        if fate is not Failure.NODE_LOST:
            return [self._lose(worker, fate)]
        first = worker // self._trouble.per_node * self._trouble.per_node
        node = range(first, min(first + self._trouble.per_node, self.slots))
        for each in node:
            if each in self._idle:
                del self._idle[each]
                self._after(self._trouble.start, partial(self._ready, each))
        return [self._lose(each, fate) for each in node if each in self._running]

    def _lose(self, worker: int, failure: Failure) -> Outcome:
        """The end of what `worker` runs, and of itself unless it can go on."""
        task, late = self._running.pop(worker)
        self.lost[failure] += 1
        if failure in (Failure.EXCEPTION, Failure.OUT_OF_MEMORY):
            self._idle[worker] = None
        else:
            self._after(self._trouble.start, partial(self._ready, worker))
        if failure in (Failure.WORKER_LOST, Failure.NODE_LOST) and late < self._trouble.late:
            wrong = Answer(scores=(Score((WRONG,) * self._problem.n_objectives),))
            self.lost["late"] += 1
            self._after(1.0, lambda: [Outcome(task, wrong, str(worker))])
        return Outcome(task, Answer(failure=failure, detail="simulated"), str(worker))

    def _ready(self, worker: int) -> list[Outcome]:
        self._idle[worker] = None
        return []

    def _scores(self, task: Task) -> tuple[Score]:
        assert isinstance(task, Job)
        assert len(task.births) == 1
        x = np.asarray(task.genomes[0][1].arrays["values"])
        return (Score(tuple(self._problem.formula(x, self._problem.n_objectives))),)
