"""The loop: births out, scores in, in an order that no worker's timing can change.

    ask -> born (ledger) -> dispatched (ledger) -> worker -> scored (ledger) -> committed -> tell

The states and the ways between them: `states`. Birth n is asked when `search.seen(n)` scores are
told. In ordered mode scores are told in birth order, so the run does not depend on the number of
workers, their timing, or kills; in free mode they are told as they come. Memory is that of the
births in flight and of the search. Knows no operator, no fitness, no Ray.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from evolve.engine.events import Event, Kind, Observer
from evolve.engine.nesting import below
from evolve.engine.queues import Queues, shared
from evolve.engine.restoring import keep_snapshot, restored
from evolve.engine.states import BirthState, step
from evolve.engine.workers import (
    Answer,
    Job,
    Outcome,
    Variation,
    Workers,
    failed,
    packed,
    unpacked,
    variation,
)
from evolve.errors import ExperimentError
from evolve.experiment import Experiment, Free
from evolve.failure import OWN_FAULT, Failure, is_poison, kind_of_error
from evolve.genome import Genome
from evolve.score import Needs, Record, Score, needs_at
from evolve.search.protocol import Plan, Proposal, Search, plain
from evolve.store.ledger import Ledger
from evolve.store.schema import Stage
from evolve.streams import Stream, rng_for, seed_for

Watch = Callable[[Record[Genome]], None]
Resumed = Callable[[int, Sequence[Record[Genome]]], None]


@dataclass
class _Open:
    """A birth that is not told yet."""

    state: BirthState
    digest: str = ""
    proposal: Proposal[Genome] | None = None  # None while it is only planned
    plan: Plan[Genome] | None = None
    score: Score | None = None


@dataclass
class Loop:
    """One driver's hold on a run. `run()` returns when all births are told."""

    experiment: Experiment[Genome]
    search: Search[Genome]
    ledger: Ledger
    workers: Workers
    births: int
    watch: Watch = lambda record: None
    resumed: Resumed = lambda told, elites: None
    observe: Observer = lambda event: None
    turn: Callable[[], None] = lambda: None  # called between turns, with nothing half-written
    most: int | None = None  # genomes a task: for many workers, and what their device bears

    told: int = 0
    halted: str = ""  # why the run stops before its end
    _live: bool = False  # the replay is over
    _asked: int = 0  # the next birth whose time to be asked has not come
    _open: dict[int, _Open] = field(default_factory=dict)
    _arrived: deque[int] = field(default_factory=deque)  # scored, in their order of arrival
    _queues: Queues = field(default_factory=Queues)
    _gathering: list[int] = field(default_factory=list)  # the batch being filled
    _flying: dict[tuple[str, int], list[int]] = field(default_factory=dict)  # and who waits
    _in_flight: int = 0  # tasks

    def run(self) -> None:
        """Replay what the ledger holds, then go on to the last birth."""
        self._replay()
        outcomes: list[Outcome] = []
        while True:
            with self.ledger.together():  # one transaction a turn
                for outcome in outcomes:
                    self._settle(outcome)
                with self.ledger.apart():  # what is settled stays, whatever the search makes of it
                    while self._commit():
                        self._place_all(self._ask())
                    tasks = self._tasks() if self.told < self.births else []
            for task in tasks:
                self.workers.submit(task)
            self.turn()
            self._in_flight += len(tasks)
            if self.told >= self.births or (self.halted and not self._in_flight):
                return
            if not self._in_flight and not len(self._queues):
                raise ExperimentError(
                    f"The search waits for more than the {self.told} scores told before it asks "
                    f"birth {self._asked}; its `seen` must be at most the number of the birth."
                )
            outcomes = self.workers.wait()

    # --- ask ---------------------------------------------------------------------------------

    def _replay(self) -> None:
        """Tell what was told; take up every other birth where it was left."""
        unfinished = self.ledger.unfinished()
        for each in unfinished:
            state = BirthState.PLANNED if each.proposal is None else BirthState.PROPOSED
            self._open[each.birth] = _Open(state, each.digest or "", each.proposal)
        written, fresh = self.ledger.births(), list[int]()
        planned = [n for n, each in self._open.items() if each.proposal is None]
        self.told = restored(self.search, self.ledger, [*planned, written])
        fresh += self._ask(written)
        for order, birth, name, proposal, score in self.ledger.replay(self.told):
            self._tell(birth, name, proposal, score, order)
            fresh += self._ask(written)
        self._live = True
        if self.told:
            self.resumed(self.told, self.search.elites)
        with self.ledger.together():
            for each in unfinished:
                if each.score is not None:
                    self._scored(each.birth, each.score)
            left = [each.birth for each in unfinished if each.score is None]
            self._place_all(sorted({*left, *fresh}))

    def _ask(self, written: int = 0) -> list[int]:
        """Ask every birth whose time has come and write what is new; returns those asked.

        Of the first `written` births, which the ledger holds, only plans are asked again: their
        operators are not in the ledger.
        """
        asked = []
        while self._asked < self.births and self.search.seen(self._asked) <= self.told:
            birth = self._asked
            self._asked += 1
            known = self._open.get(birth)
            if birth < written and (known is None or known.state is not BirthState.PLANNED):
                continue
            rng = rng_for(self.experiment.seed, birth, Stream.ASK)
            found = plain(self.search.ask(birth, rng))
            n, at = len(self.experiment.fitness.rungs), found.rung
            if not 0 <= at < n:
                raise ExperimentError(f"Birth {birth} is for rung {at}, the last is {n - 1}.")
            if isinstance(found, Plan):
                if known is None:
                    self.ledger.planned(birth, found)
                    self._say(Kind.PLANNED, birth, detail=found.operator.name)
                self._open[birth] = _Open(BirthState.PLANNED, plan=found)
            else:
                self._born(birth, found)
            asked.append(birth)
        return asked

    def _born(self, birth: int, proposal: Proposal[Genome]) -> None:
        self._open[birth] = _Open(BirthState.PROPOSED, self.ledger.born(birth, proposal), proposal)
        self._say(Kind.BORN, birth, detail=proposal.operator)

    def _place_all(self, births: list[int]) -> None:
        """Hand births on, in order; a batch ends by number, or where the next birth waits."""
        planned = [birth for birth in births if self._open[birth].plan is not None]
        for birth in planned:
            self._queues.of(self._plan(birth).operator.needs or Needs()).append((birth,))
        born = [birth for birth in births if self._open[birth].plan is None]
        fitness = self.experiment.fitness
        batch = max(needs_at(fitness, rung).batch for rung in range(len(fitness.rungs)))
        for birth, following in zip(born, [*born[1:], -1]):
            self._place(birth)
            after = birth + 1
            if after % batch == 0 or after >= self.births:
                self._cut()
            elif after < self._asked:  # asked already: in this list, or on its way
                if following // batch != birth // batch:
                    self._cut()
            elif self.search.seen(after) > birth // batch * batch:
                self._cut()

    def _place(self, birth: int) -> None:
        """Answer a birth from the ledger, let it wait for its twin, or gather it."""
        key = self._key(birth)
        if key in self._flying:
            self._flying[key].append(birth)
        elif (twin := self.ledger.known(*key)) is not None:
            self._answer(birth, *twin)
        else:
            self._flying[key] = []
            self._gathering.append(birth)

    def _cut(self) -> None:
        """Queue the batch being filled, one task a rung, in tasks that the device bears."""
        rungs = [self._proposal(birth).rung for birth in self._gathering]
        for rung in sorted(set(rungs)):
            needs = needs_at(self.experiment.fitness, rung)
            most = needs.batch if self.most is None else min(needs.batch, self.most)
            births = [birth for birth, at in zip(self._gathering, rungs) if at == rung]
            queue = self._queues.of(needs)
            queue.extend(tuple(births[i : i + most]) for i in range(0, len(births), most))
        self._gathering = []

    # --- evaluate ----------------------------------------------------------------------------

    def _tasks(self) -> list[Job | Variation]:
        """Tasks for the workers that are free; each attempt is written before it begins."""
        self.observe(Event(Kind.QUEUE, count=len(self._queues)))
        tasks = list[Job | Variation]()
        for needs, waiting in self._queues.filled():
            # Needs that differ in their batch or limits alone share workers: count them once.
            used = sum(shared(task.needs, needs) for task in tasks)
            free = 0 if self.halted else self.workers.free(needs) - used
            tasks += [self._task(waiting.popleft(), needs) for _ in range(min(len(waiting), free))]
        return tasks

    def _task(self, births: tuple[int, ...], needs: Needs) -> Job | Variation:
        """What a worker gets, its attempts written."""
        seed, epoch, first = self.experiment.seed, self.ledger.epoch, self._open[births[0]]
        if first.plan is not None:
            key = births[0], self._dispatched(births[0], Stage.VARY), epoch
            draw = sum(kind in OWN_FAULT for kind in self.ledger.failures(births[0], Stage.VARY))
            return variation(first.plan, key, seed, needs, draw, self.ledger.folder)
        born = [(self._open[birth].digest, self._proposal(birth)) for birth in births]
        rung = born[0][1].rung
        return Job(
            births=births,
            attempts=tuple(self._dispatched(birth, Stage.EVALUATE) for birth in births),
            epoch=epoch,
            genomes=tuple(packed(proposal.genome) for _, proposal in born),
            rung=rung,
            seed=seed_for(seed, rung, Stream.EVALUATE),
            needs=needs,
            known=below(self.ledger, self.experiment.fitness, born),
        )

    def _dispatched(self, birth: int, stage: Stage) -> int:
        self._move(birth, BirthState.VARYING if stage is Stage.VARY else BirthState.DISPATCHED)
        attempt = self.ledger.dispatched(birth, stage)
        self._say(Kind.DISPATCHED, birth, attempt)
        return attempt

    def _settle(self, outcome: Outcome) -> None:
        """Write what became of a task; queue again what deserves another attempt."""
        task, answer = outcome.task, outcome.answer
        n, scores = len(task.births), answer.scores or (None,) * len(task.births)
        mine = False
        for birth, attempt, score in zip(task.births, task.attempts, scores):
            failure = answer.failure
            if score is not None and score.error is not None:
                failure = kind_of_error(score.error)
            what = "varied" if isinstance(task, Variation) else "scored"
            if failure is not None:
                what = failure if score is not None or n == 1 else f"{failure} in a batch"
            detail = answer.detail if score is None else score.error or ""
            if not self.ledger.ended(birth, attempt, task.epoch, what, outcome.worker, detail):
                self._say(Kind.FENCED, birth, attempt, outcome.worker, answer.seconds, what)
                continue
            mine = True
            words = what if failure is None else f"{what}: {detail}"
            kind = Kind.ANSWERED if failure is None else Kind.FAILED
            self._say(kind, birth, attempt, outcome.worker, answer.seconds / n, words)
            if isinstance(task, Variation):
                self._varied(birth, answer)
            elif score is not None or (n == 1 and failure is not Failure.HALTED):
                self._judge(birth, score or failed(answer), answer.seconds / n)
            else:
                self._move(birth, BirthState.PROPOSED)
        if not mine:
            return
        self._in_flight -= 1
        if halt := answer.failure is Failure.HALTED:
            self.halted = answer.detail
        if answer.failure is not None and (n > 1 or (halt and isinstance(task, Job))):
            self._split(task.births, answer.failure, task.needs)  # which of them did it?

    def _varied(self, birth: int, answer: Answer) -> None:
        """A child, another attempt, or in the end a copy of the first parent."""
        plan, failure = self._plan(birth), answer.failure
        facts, genome = {**plan.facts, **answer.facts}, plan.parents[0].genome
        if answer.child is not None:
            genome = unpacked(answer.child)
        elif failure is not None:
            failures = self.ledger.failures(birth, Stage.VARY)
            if failure is Failure.HALTED or failures.count(failure) < self.experiment.policy.tries(
                failure
            ):
                self._move(birth, BirthState.PLANNED)
                self._queues.of(plan.operator.needs or Needs()).appendleft((birth,))
                return
            facts["copied"] = f"{plan.operator.name} failed: {failure}"
        self._move(birth, BirthState.PROPOSED)
        parents = tuple(parent.birth for parent in plan.parents)
        proposal = Proposal(genome, parents, plan.operator.name, plan.rung, facts)
        self._born(birth, proposal)
        self._place_all([birth])

    def _split(self, births: tuple[int, ...], failure: Failure, needs: Needs) -> None:
        """Queue a failed batch again: halves if it was too large, else one by one."""
        most = 1
        if failure is Failure.OUT_OF_MEMORY:
            most = (len(births) + 1) // 2
            self.most = most if self.most is None else min(most, self.most)
        parts = [births[i : i + most] for i in range(0, len(births), most)]
        self._queues.of(needs).extendleft(reversed(parts))

    def _judge(self, birth: int, score: Score, seconds: float) -> None:
        """A score, or another attempt at it."""
        if score.error is not None:
            failure = kind_of_error(score.error)
            failures = self.ledger.failures(birth, Stage.EVALUATE)
            if failures.count(failure) < self.experiment.policy.tries(failure):
                self._move(birth, BirthState.PROPOSED)
                needs = needs_at(self.experiment.fitness, self._proposal(birth).rung)
                self._queues.of(needs).appendleft((birth,))
                return
            if is_poison(score.error):
                self._say(Kind.QUARANTINED, birth, detail=score.error)
        self.ledger.scored(birth, score, seconds=seconds)
        self._scored(birth, score)
        waiting = self._flying.pop(self._key(birth), [])
        if score.error is None or is_poison(score.error):
            for twin in waiting:
                self._answer(twin, birth, score)
        elif waiting:  # other errors are not reused: the first that waited is evaluated itself
            self._flying[self._key(birth)] = waiting[1:]
            needs = needs_at(self.experiment.fitness, self._proposal(birth).rung)
            self._queues.of(needs).append((waiting[0],))

    def _answer(self, birth: int, twin: int, score: Score) -> None:
        self.ledger.scored(birth, score, twin_of=twin)
        self._scored(birth, score)

    def _scored(self, birth: int, score: Score) -> None:
        self._move(birth, BirthState.SCORED)
        self._open[birth].score = score
        if isinstance(self.experiment.order, Free):
            self._arrived.append(birth)

    # --- tell --------------------------------------------------------------------------------

    def _commit(self) -> bool:
        """Tell the next score if it is there; says whether one was told."""
        if not isinstance(self.experiment.order, Free):
            birth = self.told
        elif self._arrived:
            birth = self._arrived.popleft()
        else:
            return False
        found = self._open.get(birth)
        if self.told >= self.births or found is None or found.score is None:
            return False
        self._move(birth, BirthState.COMMITTED)
        self.ledger.committed(birth, self.told)
        del self._open[birth]
        assert found.proposal is not None, "what is scored was born"
        self._tell(birth, found.digest, found.proposal, found.score, self.told)
        keep_snapshot(self.search, self.ledger, self.told)
        return True

    def _tell(self, birth: int, name: str, p: Proposal[Genome], score: Score, order: int) -> None:
        record = Record(birth, p.genome, name, score, p.rung, p.parents, p.operator, p.facts)
        self.search.tell(record, rng_for(self.experiment.seed, order, Stream.TELL))
        self.told = order + 1
        if self._live:
            self.watch(record)
            self._say(Kind.TOLD, birth)

    # --- below -------------------------------------------------------------------------------

    def _move(self, birth: int, to: BirthState) -> None:
        self._open[birth].state = step(self._open[birth].state, to)

    def _proposal(self, birth: int) -> Proposal[Genome]:
        proposal = self._open[birth].proposal
        assert proposal is not None, "only what was born is evaluated"
        return proposal

    def _plan(self, birth: int) -> Plan[Genome]:
        plan = self._open[birth].plan
        assert plan is not None, "only what was planned is varied"
        return plan

    def _key(self, birth: int) -> tuple[str, int]:
        return self._open[birth].digest, self._proposal(birth).rung

    def _say(
        self,
        kind: Kind,
        birth: int,
        attempt: int | None = None,
        worker: str = "",
        seconds: float | None = None,
        detail: str = "",
    ) -> None:
        epoch = self.ledger.epoch
        self.observe(Event(kind, birth, attempt, epoch, worker, seconds, detail=detail))
