"""From an experiment's needs to the workers that bear them. Knows no loop and no ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evolve.engine.beside import Beside
from evolve.engine.events import Observer
from evolve.engine.snapshot import Snapshot
from evolve.engine.workers import InProcess, Workers
from evolve.errors import ExperimentError
from evolve.experiment import Experiment
from evolve.score import Fitness, Needs, needs_at


@dataclass(frozen=True)
class Options:
    """Where and how a run goes; none of them changes its result.

    `workers`: 0 is this process, else Ray's, at `address` or (None) in a Ray of our own.
    `elastic`: nodes that can hold them may come later. `backup`: a directory or fsspec URL to
    which the run is copied while it goes. `vault`: a directory or fsspec URL for the large
    arrays of a new run.
    """

    workers: int = 0
    address: str | None = None
    elastic: bool = False
    backup: str | None = None
    vault: str | None = None


HERE = Options()  # in this process


def hire(
    experiment: Experiment[Any],
    options: Options,
    code: Snapshot,
    observe: Observer,
    patient: bool = True,
) -> Workers:
    """The executor: this process for 0 workers, else Ray; threads beside it for what waits.

    `patient`: return when the first worker is ready, so that a set-up that fails everywhere is
    known before any work; else they start while the driver goes on.
    """
    fitnesses = fitnesses_of(experiment)
    if options.workers == 0:
        if options.address is not None:
            raise ExperimentError("An address needs Ray workers; give --workers 1 or more.")
        return Beside(InProcess(fitnesses), experiment.window())
    from evolve.engine.cluster.luggage import packed_for
    from evolve.engine.cluster.workers import RayWorkers

    workers = RayWorkers(
        packed_for(fitnesses, code),
        options.workers,
        needs=[needs_at(each, rung) for each in fitnesses for rung in range(len(each.rungs))],
        address=options.address,
        elastic=options.elastic,
        patient=patient,
        observe=observe,
    )
    return Beside(workers, experiment.window())


def fitnesses_of(experiment: Experiment[Any]) -> list[Fitness[Any]]:
    """What the workers must bear: the fitness, and that of the final test."""
    return [experiment.fitness] + ([experiment.final.fitness] if experiment.final else [])


def largest(fitnesses: Sequence[Fitness[Any]]) -> Needs:
    """The processors, devices and memory that bear every one of `fitnesses` at any rung."""
    needs = [needs_at(each, rung) for each in fitnesses for rung in range(len(each.rungs))]
    return Needs(
        cpus=max(each.cpus for each in needs),
        gpus=max(each.gpus for each in needs),
        memory=max(each.memory for each in needs),
    )
