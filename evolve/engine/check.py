"""Everything that can be known before work, and one candidate scored in a real worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from evolve.engine.final import TEST, VALIDATION, check_final
from evolve.engine.hire import HERE, Options, fitnesses_of, hire
from evolve.engine.run import check_objectives, check_window, first_genome
from evolve.engine.snapshot import snapshot
from evolve.engine.source import file_of
from evolve.engine.workers import Answer, Job, Workers, failed, packed
from evolve.errors import FitnessError
from evolve.experiment import Experiment
from evolve.genome import digest
from evolve.score import Score, needs_at
from evolve.streams import Stream, seed_for


def examine(
    experiment: Experiment[Any], file: Path | None, options: Options = HERE
) -> Iterator[str]:
    """Lines that say what was found. Raises `EvolveError` at the first thing that cannot work."""
    fitness, workers = experiment.fitness, options.workers
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
    yield from experiment.foretold()
    genome = first_genome(experiment)
    copy = type(genome).unpack(genome.pack())
    if digest(copy) != digest(genome):
        raise FitnessError(
            f"{type(genome).__name__} changes when it is packed and unpacked; its unpack must "
            "give back an equal genome."
        )
    yield f"founder     {type(genome).__name__} {digest(genome)[:12]}"
    code = snapshot(None if file is None else file_of(file))
    for warning in code.warnings if options.address is not None else ():
        yield f"warning     {warning}"
    one = replace(options, workers=min(workers, 1), backup=None, vault=None)
    crew = hire(experiment, one, code, lambda event: None)
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
    most = "at most " if len(fitness.rungs) > 1 else ""
    words = f"{most}{total / 60:.1f} min for {experiment.births} births, the test not counted"
    yield f"estimate    {words}"


def _once(
    crew: Workers, experiment: Experiment[Any], genome: Any, which: int = VALIDATION
) -> Answer:
    fitness = fitnesses_of(experiment)[which]
    rung = len(fitness.rungs) - 1
    stream = (Stream.EVALUATE, Stream.FINAL)[which]
    seed, needs = seed_for(experiment.seed, rung, stream), needs_at(fitness, rung)
    while not crew.free(needs):
        crew.wait()
    crew.submit(Job((0,), (1,), 0, (packed(genome),), rung, seed, which, needs))
    while not (outcomes := crew.wait()):
        pass
    return outcomes[0].answer


def _score(answer: Answer, what: str) -> Score:
    """The one score of `answer`. Raises `FitnessError` if there is none."""
    score = answer.scores[0] if answer.scores is not None else failed(answer)
    if score.error is None:
        return score
    why = score.error if answer.scores is not None else answer.detail
    raise FitnessError(f"The first founder could not be {what}: {why}")
