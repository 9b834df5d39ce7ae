"""The sealed test: after the last birth, once a genome, never told to a search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evolve.archive.front import Front
from evolve.engine.workers import Job, Workers, failed, packed
from evolve.errors import ExperimentError
from evolve.experiment import Experiment
from evolve.failure import Failure, kind_of_error
from evolve.genome import Genome, digest
from evolve.score import Score, costs, needs_at, violations
from evolve.store.ledger import Ledger
from evolve.streams import Stream, seed_for

VALIDATION, TEST = 0, 1  # which fitness of the workers


def check_final(experiment: Experiment[Genome]) -> None:
    """Raise `ExperimentError` before any work if the final test could not be done after it."""
    final = experiment.final
    if final is None:
        return
    ours, theirs = (
        [(objective.name, objective.maximise) for objective in fitness.objectives]
        for fitness in (experiment.fitness, final.fitness)
    )
    if ours != theirs:
        raise ExperimentError(
            f"Final.fitness has the objectives (name, maximise) {theirs}, Experiment.fitness "
            f"{ours}; the test must measure what was evolved."
        )
    for name, group in final.baselines.items():
        if not group:
            raise ExperimentError(
                f"Final.baselines has no candidate for {name!r}; give one genome or more, or "
                "leave it out."
            )
    for name, birth in final.births.items():
        if not 0 <= birth < experiment.births or name in final.baselines:
            raise ExperimentError(
                f"Final.births names birth {birth} {name!r}; give a birth from 0 to "
                f"{experiment.births - 1}, under a name that Final.baselines does not have."
            )


def conclude(experiment: Experiment[Genome], ledger: Ledger, workers: Workers) -> None:
    """Score baselines and picks on the test split and write the final table.

    Baselines: of each name's candidates, the one with the smallest summed cost on validation; and
    the births that are named.
    Picks: the knee of the front and its best record of each objective.
    """
    final = experiment.final
    if final is None:
        return
    objectives = experiment.fitness.objectives
    records = ledger.records()
    known = {r.digest: r.score for r in records if r.rung == len(experiment.fitness.rungs) - 1}
    by_birth = {record.birth: record.genome for record in records}
    named = {name: by_birth[birth] for name, birth in final.births.items()}
    candidates = [genome for group in final.baselines.values() for genome in group]
    candidates += named.values()
    fresh = [genome for genome in candidates if digest(genome) not in known]
    _score(experiment, ledger, workers, fresh, VALIDATION)
    rows: list[tuple[str, str, Genome, int | None]] = []
    for name, group in final.baselines.items():
        scores = [_validation(ledger, known, genome) for genome in group]
        rows.append((name, "baseline", group[_least(scores, experiment)], None))
    rows += [(name, "baseline", genome, final.births[name]) for name, genome in named.items()]
    front = Front.of(records, objectives)
    if front.records:
        knee = front.knee()
        rows.append(("knee", "pick", knee.genome, knee.birth))
        for objective in objectives:
            best = front.best(objective.name)
            rows.append((f"best {objective.name}", "pick", best.genome, best.birth))
    _score(experiment, ledger, workers, [genome for _, _, genome, _ in rows], TEST)
    ledger.set_final_rows([(n, role, digest(genome), birth) for n, role, genome, birth in rows])


def _validation(ledger: Ledger, known: dict[str, Score], genome: Genome) -> Score:
    name = digest(genome)
    score = known.get(name) or ledger.final("validation", name)
    assert score is not None, "every candidate was scored just before"
    return score


def _least(scores: Sequence[Score], experiment: Experiment[Genome]) -> int:
    """The feasible score of the smallest summed cost; without one, of the least violation."""
    total = costs(scores, experiment.fitness.objectives).sum(1)
    return int(np.lexsort((total, violations(scores)))[0])


def _score(
    experiment: Experiment[Genome],
    ledger: Ledger,
    workers: Workers,
    genomes: Sequence[Genome],
    which: int,
) -> None:
    """Score on validation or test what the ledger does not hold yet, one genome a job."""
    assert experiment.final is not None
    fitness = (experiment.fitness, experiment.final.fitness)[which]
    split, rung = ("validation", "test")[which], len(fitness.rungs) - 1
    stream = (Stream.EVALUATE, Stream.FINAL)[which]
    seed = seed_for(experiment.seed, rung, stream)
    wanted = {digest(genome): genome for genome in genomes}
    wanted = {name: genome for name, genome in wanted.items() if not ledger.final(split, name)}
    needs = needs_at(fitness, rung)
    queue = [
        Job((i,), (1,), ledger.epoch, (packed(genome),), rung, seed, which, needs)
        for i, genome in enumerate(wanted.values())
    ]
    order, done = list(wanted.values()), set[int]()
    flying: dict[int, Job] = {}  # by place
    failures: Counter[tuple[int, Failure]] = Counter()
    while len(done) < len(order):
        while queue and workers.free(needs):
            job = queue.pop(0)
            flying[job.births[0]] = job
            workers.submit(job)
        for outcome in workers.wait():
            answer, place = outcome.answer, outcome.task.births[0]
            if (task := flying.get(place)) is not outcome.task:
                continue  # a result that came late, perhaps of the loop's
            del flying[place]
            (attempt,) = task.attempts
            score = answer.scores[0] if answer.scores else failed(answer)
            if score.error is not None:
                failure = kind_of_error(score.error)
                failures[place, failure] += 1
                if failures[place, failure] < experiment.policy.tries(failure):
                    queue.append(replace(task, attempts=(attempt + 1,)))
                    continue
            ledger.finally_scored(split, order[place], score, answer.seconds)
            done.add(place)
