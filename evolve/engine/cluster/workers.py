"""Workers on Ray: pools of actors that outlive nodes, limits and crashes.

One actor a slot, one task in flight each. Needs of one shape share a pool; a pool fills up as
far as the living nodes have room, and again when nodes join or workers die. A passed limit kills
the actor; what a lost actor did comes back as a failure for the loop to judge; what it answers
afterwards (a node that was cut off and thaws) comes back too, and the ledger refuses it.
"""

from __future__ import annotations

import contextlib
import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evolve.engine.cluster.connect import connect
from evolve.engine.cluster.evaluator import Luggage
from evolve.engine.cluster.letters import Letters
from evolve.engine.cluster.nodes import (
    Resources,
    ask_autoscaler,
    check_feasible,
    fit,
    left,
    living,
)
from evolve.engine.cluster.slot import Slot
from evolve.engine.cluster.verdict import end_of
from evolve.engine.events import Event, Kind, Observer
from evolve.engine.queues import shared
from evolve.engine.states import WorkerState
from evolve.engine.workers import Answer, Outcome, Task
from evolve.errors import WorkerError
from evolve.failure import Failure
from evolve.score import Needs

FEW = 4  # pending references: too few for a turn that takes all that are ready to pay
LOOK = 1.0  # seconds between looks at the nodes while workers are missing


@dataclass
class _Pool:
    """Slots of one shape."""

    needs: Needs
    slots: list[Slot] = field(default_factory=list)
    wanted: bool = False  # the loop had more for it than it had ready

    @property
    def living(self) -> int:
        return sum(slot.lives for slot in self.slots)


class RayWorkers:
    """`count` workers a pool, as far as the cluster has room.

    `needs`: of all tasks known beforehand; the first pool is of needs[0], the others begin when
    their first task comes. `address`: None starts a cluster for this run on this machine, and
    stops it; "auto" or HOST:PORT joins one. A process that is already connected stays connected.
    `elastic`: nodes that can hold a worker may come later. `patient`: return when the first
    worker is ready.
    Raises `WorkerError` if the cluster cannot hold one worker, or none can be set up.
    """

    def __init__(
        self,
        luggage: Luggage,
        count: int,
        *,
        needs: Sequence[Needs],
        address: str | None = None,
        elastic: bool = False,
        patient: bool = True,
        observe: Observer = lambda event: None,
    ) -> None:
        import ray

        self.slots = count
        self._elastic = elastic
        self._observe = observe
        self._pools: list[_Pool] = []
        self._made = 0  # actors
        self._failed_setups = 0  # since a worker was ready
        self._ever_ready = False
        self._look_at = 0.0
        self._room = -1
        self._owns = not ray.is_initialized()
        self._letters: Letters | None = None
        if self._owns:
            connect(address, count, needs)
        try:
            self._remote = address is not None
            address_of: Any = ray.util.get_node_ip_address
            self._letters = Letters(address_of())
            self._luggage: Any = ray.put(replace(luggage, post=self._letters.address))
            if not elastic:
                nodes = list(living().values())
                for each in needs:
                    check_feasible(each, nodes)
            self._pool(needs[0])
            if patient:
                self._await_start()
        except BaseException:
            self.close()
            raise

    def free(self, needs: Needs) -> int:
        pool = self._pool(needs)
        ready = sum(slot.state is WorkerState.READY for slot in pool.slots)
        pool.wanted = ready == 0
        return ready

    def submit(self, task: Task) -> None:
        slots = self._pool(task.needs).slots
        slot = next(slot for slot in slots if slot.state is WorkerState.READY)
        slot.send(task)
        self._tell(slot, "busy")

    def wait(self, patience: float | None = None) -> list[Outcome]:
        while True:
            self._fill()
            ready = self._next(patience)
            outcomes, freed = self._late(), False
            for slot in [slot for pool in self._pools for slot in pool.slots]:
                if slot.pending in ready and slot.state is WorkerState.STARTING:
                    freed |= self._started(slot)
                elif slot.pending in ready and slot.task is not None:
                    outcomes.append(self._answered(slot, slot.task))
                elif slot.left is not None and slot.left < 0:
                    outcomes += self._passed(slot)
            if outcomes or freed or patience is not None:
                for pool in self._pools:
                    pool.wanted = False  # `free` says it anew
                return outcomes

    def close(self) -> None:
        import ray

        for slot in [slot for pool in self._pools for slot in pool.slots if slot.lives]:
            with contextlib.suppress(Exception):  # a dead actor cannot be killed twice
                ray.kill(slot.actor)
        if self._letters is not None:
            self._letters.close()
        if ray.is_initialized():
            if self._remote:
                with contextlib.suppress(Exception):  # the cluster may be gone by now
                    ask_autoscaler([])
            if self._owns:
                ray.shutdown()

    # --- what comes back ---------------------------------------------------------------------

    def _next(self, most: float | None) -> set[Any]:
        """The references that are ready; waits until one is, or a limit, or for a look, or
        `most` seconds."""
        import ray

        slots = [slot for pool in self._pools for slot in pool.slots]
        pending = [slot.pending for slot in slots if slot.pending is not None]
        limits = [slot.left for slot in slots if slot.left is not None]
        if self._short or (self._letters is not None and self._letters.awaited):
            limits.append(LOOK)
        if most is not None:
            limits.append(most)
        patience = max(0.0, min(limits)) + 0.01 if limits else None
        if not pending:
            time.sleep(patience or LOOK)
            return set()
        if len(pending) <= FEW:  # one call a turn; the longest pending first, so none starves
            slots.sort(key=lambda slot: slot.since)
            pending = [slot.pending for slot in slots if slot.pending is not None]
            return set(ray.wait(pending, num_returns=1, timeout=patience)[0])
        there = ray.wait(pending, num_returns=len(pending), timeout=0)[0]
        return set(there or ray.wait(pending, num_returns=1, timeout=patience)[0])

    def _started(self, slot: Slot) -> bool:
        """Whether the slot is ready now; raises `WorkerError` if none can be set up."""
        import ray

        seconds = time.monotonic() - slot.since
        try:
            slot.ready(ray.get(slot.pending))
        except ray.exceptions.RayError as error:
            failure, words = end_of(error, None)
            self._lose(slot, f"set-up failed: {words}")
            if failure is Failure.NODE_LOST:  # says nothing about the set-up
                return False
            self._failed_setups += 1
            died: Any = ray.exceptions.ActorDiedError
            killed = isinstance(error, died) and not error.actor_init_failed  # from outside, maybe
            alone = not killed and not self._any_lives
            often = self._failed_setups >= max(3, self.slots)
            if (alone or often) and not self._any_works:  # else one node is bad, others serve
                raise WorkerError(
                    f"Workers cannot be set up ({self._failed_setups} failed in a row):\n{words}"
                ) from None
            return False
        self._failed_setups, self._ever_ready = 0, True
        self._tell(slot, "ready", seconds)
        return True

    def _answered(self, slot: Slot, task: Task) -> Outcome:
        import ray

        try:
            answer: Answer = pickle.loads(ray.get(slot.pending))
        except ray.exceptions.RayError as error:
            failure, words = end_of(error, slot.place)
            return self._given_up(slot, task, failure, words)
        slot.done()
        self._tell(slot, "ready")
        return Outcome(task, answer, slot.name)

    def _passed(self, slot: Slot) -> list[Outcome]:
        """What follows when a slot has passed its limit."""
        if slot.task is not None:
            words = f"no answer in {slot.limit:g} s; the worker was killed"
            return [self._given_up(slot, slot.task, Failure.TIMEOUT, words)]
        # Still starting: other work may hold the resources that its node seemed to have.
        limit = slot.limit
        self._lose(slot, f"not ready after {limit:g} s")
        if not self._ever_ready and not self._elastic:
            raise WorkerError(
                f"No Ray worker was ready after {limit:g} s (Needs.startup): the cluster is busy "
                "with other work, or the experiment loads its data at import. Free the cluster, "
                "use fewer workers, or raise Needs.startup."
            )
        return []

    def _given_up(self, slot: Slot, task: Task, failure: Failure, words: str) -> Outcome:
        assert self._letters is not None, "made before any slot"
        seconds, name = time.monotonic() - slot.since, slot.name
        self._letters.expect(task, name)
        self._lose(slot, failure)
        return Outcome(task, Answer(failure=failure, detail=words, seconds=seconds), name)

    def _late(self) -> list[Outcome]:
        return [] if self._letters is None else self._letters.arrived()

    # --- slots -------------------------------------------------------------------------------

    def _pool(self, needs: Needs) -> _Pool:
        """The pool of this shape; begun if it is the first of it."""
        for pool in self._pools:
            if shared(pool.needs, needs):
                return pool
        if not self._elastic:
            check_feasible(needs, list(living().values()))
        pool = _Pool(needs, [Slot(needs) for _ in range(self.slots)])
        self._pools.append(pool)
        if self._remote:
            ask_autoscaler([(each.needs, self.slots) for each in self._pools])
        self._look_at = 0.0
        self._fill()
        return pool

    @property
    def _short(self) -> bool:
        return any(pool.living < len(pool.slots) for pool in self._pools)

    @property
    def _any_lives(self) -> bool:
        return any(slot.lives for pool in self._pools for slot in pool.slots)

    @property
    def _any_works(self) -> bool:
        return any(slot.place is not None for pool in self._pools for slot in pool.slots)

    def _fill(self) -> None:
        """Start workers where there is room: in turn, the pool with the fewest first."""
        if not self._short or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK
        nodes = list(living().values())
        room = sum(int(min(fit(pool.needs, nodes), len(pool.slots))) for pool in self._pools)
        if room != self._room:
            self._room = room
            self._observe(Event(Kind.NODES, count=room, detail=f"{len(nodes)} nodes"))
        # While a pool that is wanted is short, others do not take what is there.
        starved = [pool for pool in self._pools if pool.wanted and self._lacks(pool, nodes)]
        while pools := [
            pool
            for pool in self._pools
            if (pool.wanted or not starved) and self._has_room(pool, nodes)
        ]:
            pool = min(pools, key=lambda each: each.living)
            slot = next(slot for slot in pool.slots if not slot.lives)
            self._made += 1
            slot.start(f"ray-{self._made}", self._luggage)
            self._tell(slot, "starting")
        for pool in starved:
            if self._lacks(pool, nodes):
                self._make_room(pool)

    def _lacks(self, pool: _Pool, nodes: Sequence[Resources]) -> bool:
        """Whether `pool` has fewer workers than it may have if nothing else ran."""
        return pool.living < min(len(pool.slots), fit(pool.needs, nodes))

    def _has_room(self, pool: _Pool, nodes: Sequence[Resources]) -> bool:
        """Whether one more worker of `pool` fits beside all that we have."""
        if not self._lacks(pool, nodes):
            return False
        taken = [(each.needs, each.living) for each in self._pools]
        return fit(pool.needs, [left(nodes, taken)]) >= 1

    def _make_room(self, pool: _Pool) -> None:
        """Let go of a worker of another pool that has been idle, so that `pool` gets one more."""
        for slot in [slot for each in self._pools if each is not pool for slot in each.slots]:
            if slot.state is WorkerState.READY and time.monotonic() - slot.since > LOOK:
                self._lose(slot, "makes room")
                return

    def _await_start(self) -> None:
        """Wait for the first worker, so that a set-up that fails everywhere stops here."""
        while not any(slot.state is WorkerState.READY for slot in self._pools[0].slots):
            self.wait()

    def _lose(self, slot: Slot, why: str) -> None:
        """The slot's actor is dead or killed; another takes its place when there is room."""
        self._tell(slot, f"dead: {why}")
        slot.die()
        # At once after a loss; ever more slowly while all set-ups fail.
        wait = LOOK * 2 ** min(self._failed_setups - 1, 5) if self._failed_setups else 0.0
        self._look_at = time.monotonic() + wait

    def _tell(self, slot: Slot, state: str, seconds: float | None = None) -> None:
        self._observe(Event(Kind.WORKER, worker=slot.name, seconds=seconds, detail=state))
