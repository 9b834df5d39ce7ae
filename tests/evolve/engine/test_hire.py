"""What an experiment needs, and the executor that bears it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evolve import Final, Needs
from evolve.engine.beside import Beside
from evolve.engine.hire import Options, fitnesses_of, hire, largest
from evolve.engine.snapshot import snapshot
from evolve.engine.workers import InProcess
from evolve.errors import ExperimentError
from fitness.problems import Problem, dtlz2
from tests.evolve.engine.problems import dtlz


def test_no_workers_are_this_process() -> None:
    crew = hire(dtlz(), Options(), snapshot(None), lambda event: None)
    assert isinstance(crew, Beside)
    assert isinstance(crew.inner, InProcess)
    assert crew.threads == dtlz().window()


def test_an_address_without_workers_is_refused() -> None:
    with pytest.raises(ExperimentError, match="An address needs Ray workers"):
        hire(dtlz(), Options(address="auto"), snapshot(None), lambda event: None)


def test_the_largest_needs_bear_every_fitness_at_every_rung() -> None:
    test = Problem(dtlz2, 3, needs=Needs(cpus=0.5, gpus=0.25, memory=7))
    experiment = replace(dtlz(), final=Final(test))
    assert fitnesses_of(experiment) == [experiment.fitness, test]
    assert largest(fitnesses_of(experiment)) == Needs(cpus=1.0, gpus=0.25, memory=7)
