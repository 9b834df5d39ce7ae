"""Everything that can be known before work, and one candidate scored in a real worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evolve.engine.final import TEST, VALIDATION, check_final
from evolve.engine.run import check_objectives, check_window, fitnesses_of, hire
from evolve.engine.workers import Job, Outcome, Workers, packed
from evolve.errors import FitnessError
from evolve.experiment import Experiment
from evolve.genome import digest
from evolve.score import Score
from evolve.streams import Stream, rng_for, seed_for


def examine(
    experiment: Experiment[Any], file: Path | None, workers: int, address: str | None
) -> Iterator[str]:
    """Lines that say what was found. Raises `EvolveError` at the first thing that cannot work."""
    search, fitness = experiment.search(), experiment.fitness
    check_window(experiment, workers)
    check_final(experiment)
    check_objectives(experiment)
    objectives = ", ".join(
        f"{o.name} ({'maximised' if o.maximise else 'minimised'}{o.unit and ', ' + o.unit})"
        for o in fitness.objectives
    )
    yield f"experiment  {experiment.name}: {experiment.births} births, seed {experiment.seed}"
    yield f"objectives  {objectives}"
    yield f"window      {experiment.window()} births in flight, {workers} workers"
    genome = search.ask(0, rng_for(experiment.seed, 0, Stream.ASK)).genome
    copy = type(genome).unpack(genome.pack())
    if digest(copy) != digest(genome):
        raise FitnessError(
            f"{type(genome).__name__} changes when it is packed and unpacked; its unpack must "
            "give back an equal genome."
        )
    yield f"founder     {type(genome).__name__} {digest(genome)[:12]}"
    crew = hire(fitnesses_of(experiment), min(workers, 1), address, file)
    try:
        first = _once(crew, experiment, genome)
        score = _score(first, "scored")
        again = _once(crew, experiment, genome)
        tested = _once(crew, experiment, genome, TEST) if experiment.final else None
        if tested is not None:
            _score(tested, "scored by Final.fitness")
    finally:
        crew.close()
    named = ", ".join(f"{o.name} {v:.6g}" for o, v in zip(fitness.objectives, score.values))
    yield f"score       {named}"
    if again.scores is None or again.scores[0].values != score.values:
        yield "warning     a second evaluation of the same genome gave another score"
    yield f"time        {first.seconds:.2f} s with loading, {again.seconds:.2f} s after"
    if tested is not None:  # the split stays sealed: no values
        yield f"final       ok, {tested.seconds:.2f} s"
    total = experiment.births * again.seconds / max(workers, 1)
    yield f"estimate    {total / 60:.1f} min for {experiment.births} births, the test not counted"


def _once(
    crew: Workers, experiment: Experiment[Any], genome: Any, which: int = VALIDATION
) -> Outcome:
    rung = len(fitnesses_of(experiment)[which].rungs) - 1
    stream = (Stream.EVALUATE, Stream.FINAL)[which]
    seed = seed_for(experiment.seed, rung, stream)
    crew.submit(Job((0,), (1,), 0, (packed(genome),), rung, seed, which))
    return crew.wait()[0]


def _score(outcome: Outcome, what: str) -> Score:
    """The one score of `outcome`. Raises `FitnessError` if there is none."""
    if outcome.scores is not None and outcome.scores[0].error is None:
        return outcome.scores[0]
    why = outcome.detail if outcome.scores is None else outcome.scores[0].error
    raise FitnessError(f"The first founder could not be {what}: {why}")
