"""Everything that can be known before work, and one candidate scored in a real worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evolve.engine.final import check_final
from evolve.engine.run import check_objectives, check_window, hire
from evolve.engine.workers import Job, Outcome, Workers, packed
from evolve.errors import FitnessError
from evolve.experiment import Experiment
from evolve.genome import digest
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
    both = [fitness] + ([experiment.final.fitness] if experiment.final else [])
    crew = hire(both, min(workers, 1), address, file)
    try:
        first = _once(crew, experiment, genome)
        if first.scores is None or first.scores[0].error is not None:
            why = first.detail if first.scores is None else first.scores[0].error
            raise FitnessError(f"The first founder could not be scored: {why}")
        again = _once(crew, experiment, genome)
    finally:
        crew.close()
    score = first.scores[0]
    named = ", ".join(f"{o.name} {v:.6g}" for o, v in zip(fitness.objectives, score.values))
    yield f"score       {named}"
    if again.scores is None or again.scores[0].values != score.values:
        yield "warning     a second evaluation of the same genome gave another score"
    yield f"time        {first.seconds:.2f} s with loading, {again.seconds:.2f} s after"
    total = experiment.births * again.seconds / max(workers, 1)
    yield f"estimate    {total / 60:.1f} min for {experiment.births} births, the test not counted"


def _once(crew: Workers, experiment: Experiment[Any], genome: Any) -> Outcome:
    rung = len(experiment.fitness.rungs) - 1
    seed = seed_for(experiment.seed, rung, Stream.EVALUATE)
    crew.submit(Job((0,), (1,), 0, (packed(genome),), rung, seed))
    return crew.wait()[0]
