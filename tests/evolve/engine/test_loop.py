"""The loop's promise: the same run whatever the workers do, and nothing lost."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import evolve
from evolve import Experiment, Free, Generational, Genetic, Needs, Policy, Record, Score
from evolve.engine.loop import Loop
from evolve.engine.workers import InProcess, Job, Outcome, Task
from evolve.genomes.vector import Vector
from evolve.search.protocol import Proposal
from evolve.store.ledger import Ledger
from tests.evolve.engine.problems import dtlz, dtlz_search, single_search, unruly


class Shuffled:
    """Workers that answer in another order than they were asked, by `key`."""

    def __init__(self, fitnesses: list[object], slots: int, key: int) -> None:
        self._inner = InProcess(fitnesses, slots)  # type: ignore[arg-type]
        self.slots, self._key = slots, key
        self.jobs: list[Job] = []

    def free(self, needs: Needs) -> int:
        return self._inner.free(needs)

    def submit(self, task: Task) -> None:
        assert isinstance(task, Job)
        self.jobs.append(task)
        self._inner.submit(task)

    def wait(self, patience: float | None = None) -> list[Outcome]:
        waiting = self._inner._waiting
        waiting.insert(0, waiting.pop((self._key * 7919 + len(self.jobs)) % len(waiting)))
        return self._inner.wait(patience)

    def close(self) -> None: ...


def drive(
    experiment: Experiment[Vector], out: Path, slots: int = 1, key: int = 0, births: int = 0
) -> tuple[str, Shuffled]:
    """Run with workers that answer out of order; the ledger's digest."""
    births = births or experiment.births
    with closing(Ledger.create(out, {"name": "test", "births": births})) as ledger:
        ledger.begin_epoch({})
        workers = Shuffled([experiment.fitness], slots, key)
        Loop(experiment, experiment.search(), ledger, workers, births).run()  # type: ignore[arg-type]
        return ledger.digest(), workers


def test_ordered_mode_does_not_depend_on_the_order_of_answers(tmp_path: Path) -> None:
    digests = {
        drive(dtlz(120), tmp_path / f"{slots}-{key}", slots, key)[0]
        for slots, key in [(1, 0), (2, 1), (5, 2), (8, 3), (8, 4)]
    }
    assert len(digests) == 1


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    one = evolve.run(dtlz(40), tmp_path / "a")
    two = evolve.run(replace(dtlz(40), seed=1), tmp_path / "b")
    assert one.digest != two.digest


@pytest.mark.parametrize("batch", [3, 8])
@pytest.mark.parametrize("pace", [None, Generational(10)])
def test_batches_are_consecutive_births_cut_by_number(
    tmp_path: Path, batch: int, pace: Generational | None
) -> None:
    experiment = dtlz(60, batch=batch)
    if pace is not None:
        experiment = replace(experiment, search=lambda: paced(pace))
    found, workers = drive(experiment, tmp_path / "batched", slots=2, key=5)
    alone, _ = drive(replace(experiment, fitness=dtlz().fitness), tmp_path / "alone")
    assert found == alone
    assert max(len(job.births) for job in workers.jobs) == batch
    for job in workers.jobs:
        assert len({birth // batch for birth in job.births}) == 1
        assert list(job.births) == sorted(job.births)


def paced(pace: Generational) -> Genetic[Vector]:
    search = dtlz_search()
    search.pace = pace
    return search


def test_free_mode_tells_in_order_of_arrival_and_each_once(tmp_path: Path) -> None:
    experiment = dtlz(80, order=Free())
    ledger = Ledger.create(tmp_path / "run", {"name": "free", "births": 80})
    ledger.begin_epoch({})
    told: list[int] = []
    workers = Shuffled([experiment.fitness], 8, 1)
    Loop(
        experiment,  # type: ignore[arg-type]
        experiment.search(),  # type: ignore[arg-type]
        ledger,
        workers,
        80,
        lambda record: told.append(record.birth),
    ).run()
    assert told != sorted(told)
    assert sorted(told) == list(range(80))
    assert [record.birth for record in ledger.records()] == told
    ledger.close()


def test_a_resumed_free_run_tells_what_was_told_in_the_same_order(tmp_path: Path) -> None:
    experiment = dtlz(60, order=Free())
    drive(replace(experiment, births=30), tmp_path / "run", slots=8, key=3)
    first = [record.birth for record in evolve.load(tmp_path / "run").records]
    ledger = Ledger.open(tmp_path / "run", write=True)
    ledger.begin_epoch({})
    Loop(experiment, experiment.search(), ledger, InProcess([experiment.fitness]), 60).run()  # type: ignore[arg-type]
    told = [record.birth for record in ledger.records()]
    ledger.close()
    assert told[:30] == first
    assert sorted(told) == list(range(60))


def test_a_run_cut_in_two_is_the_run_in_one_piece(tmp_path: Path) -> None:
    whole = evolve.run(dtlz(90), tmp_path / "whole")
    drive(dtlz(90), tmp_path / "half", births=37)
    half = evolve.load(tmp_path / "half")
    assert len(half.records) == 37
    ledger = Ledger.open(tmp_path / "half", write=True)
    ledger.begin_epoch({})
    experiment = dtlz(90)
    Loop(experiment, experiment.search(), ledger, InProcess([experiment.fitness]), 90).run()  # type: ignore[arg-type]
    ledger.close()
    assert evolve.load(tmp_path / "half").digest == whole.digest


class Annotated:
    """Writes facts that JSON changes: a tuple, an integer key, NumPy parents."""

    def __init__(self) -> None:
        self._inner = single_search()
        self.facts: list[object] = []

    def seen(self, birth: int) -> int:
        return self._inner.seen(birth)

    def ask(self, birth: int, rng: np.random.Generator) -> Proposal[Vector]:
        proposal = self._inner.ask(birth, rng)
        assert isinstance(proposal, Proposal)
        parents = tuple(np.int64(parent) for parent in proposal.parents)
        return replace(proposal, parents=parents, facts={"pair": (1, 2), 3: "three"})  # type: ignore[dict-item]

    def tell(self, record: Record[Vector], rng: np.random.Generator) -> None:
        self.facts.append((record.facts, record.parents))
        self._inner.tell(record, rng)

    @property
    def elites(self) -> tuple[()]:
        return ()


def test_facts_are_told_live_as_a_replay_tells_them(tmp_path: Path) -> None:
    experiment = unruly("fine", tmp_path, births=9)
    live, replayed = Annotated(), Annotated()
    evolve.run(replace(experiment, search=lambda: live), tmp_path / "run")
    evolve.run(replace(experiment, search=lambda: replayed), tmp_path / "run", resume=True)
    assert live.facts == replayed.facts
    assert live.facts[0] == ({"pair": [1, 2], "3": "three"}, ())


class Twins:
    """Proposes the same few genomes again and again."""

    def __init__(self) -> None:
        self._inner = single_search()

    def seen(self, birth: int) -> int:
        return max(0, birth - 3)

    def ask(self, birth: int, rng: object) -> object:
        proposal = self._inner.ask(birth % 3, rng)  # type: ignore[arg-type]
        return proposal

    def tell(self, record: object, rng: object) -> None:
        self._inner.tell(record, rng)  # type: ignore[arg-type]

    @property
    def elites(self) -> tuple[()]:
        return ()


@pytest.mark.parametrize("slots", [1, 4])
def test_twins_are_answered_from_the_ledger(tmp_path: Path, slots: int) -> None:
    experiment = replace(unruly("fine", tmp_path, births=20), search=Twins)  # type: ignore[arg-type]
    _, workers = drive(experiment, tmp_path / "run", slots=slots, key=2)
    assert sum(len(job.births) for job in workers.jobs) == 3
    records = evolve.load(tmp_path / "run").records
    for record in records:
        assert record.score.values == records[record.birth % 3].score.values


def test_errors_are_not_reused_for_twins(tmp_path: Path) -> None:
    experiment = replace(unruly("raise", tmp_path, births=9), search=Twins)  # type: ignore[arg-type]
    experiment = replace(experiment, fitness=replace(experiment.fitness, share=2.0))  # type: ignore[type-var]
    _, workers = drive(experiment, tmp_path / "run", slots=4)
    assert sum(len(job.births) for job in workers.jobs) == 9 * Policy().exception
    assert all(r.score.error for r in evolve.load(tmp_path / "run").records)


@pytest.mark.parametrize(
    ("how", "words"),
    [("raise", "exception: RuntimeError"), ("nan", "invalid"), ("keys", "2 values for 1")],
)
def test_a_failed_evaluation_is_data(tmp_path: Path, how: str, words: str) -> None:
    run = evolve.run(unruly(how, tmp_path, births=30), tmp_path / "run")
    failed = [record for record in run.records if record.score.error is not None]
    assert 0 < len(failed) < 30
    assert all(words in str(record.score.error) for record in failed)
    assert all(record.genome.values[0] <= 0.3 for record in failed)
    assert len(run.records) == 30


def test_a_failed_batch_is_retried_one_by_one(tmp_path: Path) -> None:
    experiment = unruly("raise", tmp_path, births=12, batch=6)
    run = evolve.run(experiment, tmp_path / "run")
    for record in run.records:
        assert (record.score.error is not None) == (record.genome.values[0] <= 0.3)
    assert 0 < sum(record.score.error is None for record in run.records) < 12


def test_an_evaluation_that_returns_no_list_of_scores_is_invalid(tmp_path: Path) -> None:
    class Wrong:
        objectives = unruly("x", tmp_path).fitness.objectives
        rungs, needs = (1,), unruly("x", tmp_path).fitness.needs

        def evaluate(self, genomes: object, rung: int, seed: int) -> list[Score]:
            return [Score((1.0,)), Score((1.0,))]

    experiment = replace(unruly("x", tmp_path, births=3), fitness=Wrong())
    run = evolve.run(experiment, tmp_path / "run")
    assert all("2 scores for 1 genomes" in str(record.score.error) for record in run.records)


def test_a_score_is_kept_when_the_search_fails_over_it(tmp_path: Path) -> None:
    class Fails:
        def __init__(self) -> None:
            self.inner = dtlz_search()

        def seen(self, birth: int) -> int:
            return self.inner.seen(birth)

        def ask(self, birth: int, rng: np.random.Generator) -> object:
            return self.inner.ask(birth, rng)

        def tell(self, record: Record[Vector], rng: np.random.Generator) -> None:
            if record.birth == 5:
                raise ZeroDivisionError("in tell")
            self.inner.tell(record, rng)

        @property
        def elites(self) -> object:
            return self.inner.elites

    broken = replace(dtlz(20), search=Fails)
    with pytest.raises(ZeroDivisionError):
        drive(broken, tmp_path / "run")
    with closing(Ledger.open(tmp_path / "run", write=False)) as ledger:
        assert ledger.told() == 5
        assert ledger.outcomes()["scored"] == 6
