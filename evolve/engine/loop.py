"""The loop: births out, scores in, in an order that no worker's timing can change.

    ask -> born (ledger) -> dispatched (ledger) -> worker -> scored (ledger) -> committed -> tell

Birth n is asked when `search.seen(n)` scores are told. In ordered mode scores are told in birth
order, so the run does not depend on the number of workers, their timing, or kills; in free mode
they are told as they come. Knows no operator, no fitness, no Ray.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from evolve.engine.workers import Job, Outcome, Workers, packed
from evolve.errors import ExperimentError
from evolve.experiment import Experiment, Free
from evolve.genome import Genome
from evolve.score import Record, Score
from evolve.search.protocol import Proposal, Search
from evolve.store.ledger import Ledger
from evolve.streams import Stream, rng_for, seed_for

TRIES = {"worker lost": 3, "out of memory": 2}  # attempts before a failure is final; others: 1

Watch = Callable[[Record[Genome]], None]


@dataclass
class Loop:
    """One driver's hold on a run. `run()` returns when all births are told."""

    experiment: Experiment[Genome]
    search: Search[Genome]
    ledger: Ledger
    workers: Workers
    births: int
    watch: Watch = lambda record: None

    told: int = 0
    _proposals: dict[int, tuple[str, Proposal[Genome]]] = field(default_factory=dict)
    _scores: dict[int, Score] = field(default_factory=dict)  # known, not yet told
    _arrived: deque[int] = field(default_factory=deque)  # their order of arrival
    _queue: deque[tuple[int, ...]] = field(default_factory=deque)  # batches to submit
    _gathering: list[int] = field(default_factory=list)  # the batch being filled
    _answers: dict[tuple[str, int], tuple[int, Score]] = field(default_factory=dict)
    _flying: dict[tuple[str, int], list[int]] = field(default_factory=dict)  # and who waits

    def run(self) -> None:
        """Replay what the ledger holds, then go on to the last birth."""
        self._replay()
        while self.told < self.births:
            if self._commit():
                self._place_all(self._ask())
                continue
            while self._queue and self.workers.free:
                self._submit(self._queue.popleft())
            for outcome in self.workers.wait():
                self._settle(outcome)

    # --- ask ---------------------------------------------------------------------------------

    def _replay(self) -> None:
        stored = self.ledger.scores()
        for birth, name, proposal in self.ledger.proposals():
            self._proposals[birth] = (name, proposal)
        unscored = [birth for birth in self._proposals if birth not in stored]
        for birth, scored in stored.items():
            self._known(birth, scored.score)
            if scored.order is None:
                self._keep(birth, scored.score)
        # A birth that was never asked (the run is longer now) is asked as if it never stopped.
        unscored += self._ask()
        told = [(scored.order, birth) for birth, scored in stored.items()]
        for order, birth in sorted((o, b) for o, b in told if o is not None):
            self._tell(birth, stored[birth].score, order)
            unscored += self._ask()
        self._place_all(unscored)

    def _ask(self) -> list[int]:
        """Ask and write every birth whose time has come; returns them."""
        asked = []
        while (birth := len(self._proposals)) < self.births:
            if self.search.seen(birth) > self.told:
                break
            rng = rng_for(self.experiment.seed, birth, Stream.ASK)
            proposal = _plain(self.search.ask(birth, rng))
            if not 0 <= proposal.rung < len(self.experiment.fitness.rungs):
                raise ExperimentError(
                    f"Birth {birth} was proposed at rung {proposal.rung}; the fitness has "
                    f"{len(self.experiment.fitness.rungs)} rungs."
                )
            self._proposals[birth] = (self.ledger.born(birth, proposal), proposal)
            asked.append(birth)
        return asked

    def _place_all(self, births: list[int]) -> None:
        """Hand births on, in order; a batch ends by number, or where the next birth waits."""
        batch = self.experiment.fitness.needs.batch
        for birth, following in zip(births, [*births[1:], -1]):
            self._place(birth)
            after = birth + 1
            if after % batch == 0 or after >= self.births:
                self._cut()
            elif after in self._proposals:  # asked already: in this list, or scored
                if following // batch != birth // batch:
                    self._cut()
            elif self.search.seen(after) > birth // batch * batch:
                self._cut()

    def _place(self, birth: int) -> None:
        """Answer a birth from the ledger, let it wait for its twin, or queue it."""
        name, proposal = self._proposals[birth]
        key = (name, proposal.rung)
        if key in self._answers:
            self._answer(birth, *self._answers[key])
        elif key in self._flying:
            self._flying[key].append(birth)
        else:
            self._flying[key] = []
            self._gathering.append(birth)

    def _cut(self) -> None:
        """Queue the batch being filled, one job a rung."""
        rungs = [self._proposals[birth][1].rung for birth in self._gathering]
        for rung in sorted(set(rungs)):
            births = tuple(birth for birth, at in zip(self._gathering, rungs) if at == rung)
            self._queue.append(births)
        self._gathering = []

    # --- evaluate ----------------------------------------------------------------------------

    def _submit(self, births: tuple[int, ...]) -> None:
        proposals = [self._proposals[birth][1] for birth in births]
        rung = proposals[0].rung
        attempts = [self.ledger.dispatched(birth) for birth in births]
        self.workers.submit(
            Job(
                births=births,
                attempts=tuple(attempts),
                epoch=self.ledger.epoch,
                genomes=tuple(packed(proposal.genome) for proposal in proposals),
                rung=rung,
                seed=seed_for(self.experiment.seed, rung, Stream.EVALUATE),
            )
        )

    def _settle(self, outcome: Outcome) -> None:
        """Write what became of a job; queue again what deserves another attempt."""
        job, kind = outcome.job, "scored" if outcome.scores is not None else outcome.failure
        for birth, attempt in zip(job.births, job.attempts):
            self.ledger.ended(birth, attempt, kind, outcome.worker, outcome.detail)
        if outcome.scores is not None:
            for birth, score in zip(job.births, outcome.scores):
                self._resolve(birth, score, outcome.seconds / len(job.births))
        elif len(job.births) > 1:  # which of them did it?
            self._queue.extendleft((birth,) for birth in reversed(job.births))
        else:
            (birth,) = job.births
            failures = self.ledger.failures(birth)
            if failures.count(kind) < TRIES.get(kind, 1):
                self._queue.appendleft((birth,))
            else:
                self._resolve(birth, failure(outcome), outcome.seconds)

    def _resolve(self, birth: int, score: Score, seconds: float) -> None:
        self.ledger.scored(birth, score, seconds=seconds)
        self._keep(birth, score)
        self._known(birth, score)
        name, proposal = self._proposals[birth]
        waiting = self._flying.pop((name, proposal.rung), [])
        if score.error is None:
            for twin in waiting:
                self._answer(twin, birth, score)
        elif waiting:  # errors are not reused: the first that waited is evaluated itself
            self._flying[name, proposal.rung] = waiting[1:]
            self._queue.append((waiting[0],))

    def _known(self, birth: int, score: Score) -> None:
        if score.error is None:
            name, proposal = self._proposals[birth]
            self._answers.setdefault((name, proposal.rung), (birth, score))

    def _answer(self, birth: int, twin: int, score: Score) -> None:
        self.ledger.scored(birth, score, twin_of=twin)
        self._keep(birth, score)

    def _keep(self, birth: int, score: Score) -> None:
        self._scores[birth] = score
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
        if birth not in self._scores:
            return False
        score = self._scores.pop(birth)
        self.ledger.committed(birth, self.told)
        self._tell(birth, score, self.told)
        return True

    def _tell(self, birth: int, score: Score, order: int) -> None:
        name, p = self._proposals[birth]
        record = Record(birth, p.genome, name, score, p.rung, p.parents, p.operator, p.facts)
        self.search.tell(record, rng_for(self.experiment.seed, order, Stream.TELL))
        self.told = order + 1
        self.watch(record)


def _plain(proposal: Proposal[Genome]) -> Proposal[Genome]:
    """`proposal` as the ledger will give it back: JSON facts, integer parents."""
    return replace(
        proposal,
        parents=tuple(int(parent) for parent in proposal.parents),
        facts=json.loads(json.dumps(proposal.facts)),
    )


def failure(outcome: Outcome) -> Score:
    """A failed score: its kind and last line as the error, the whole text in the notes."""
    lines = outcome.detail.strip().splitlines()
    return Score.failed(
        f"{outcome.failure}: {lines[-1] if lines else ''}", {"detail": outcome.detail}
    )
