"""An experiment is checked when it is written down."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from evolve.errors import ExperimentError
from evolve.experiment import Experiment, Final, Free, Ordered
from evolve.genomes.vector import Vector
from evolve.search.genetic import Generational, Genetic, Steady
from fitness.problems import Problem, sphere
from operators.selection import Tournament, Truncation
from operators.vector import PolynomialMutation
from tests.evolve.cases import vector

FOUR = Steady(4)


def search_of(pace: Steady | Generational = FOUR) -> Callable[[], Genetic[Vector]]:
    return lambda: Genetic(
        founders=[vector(0.1), vector(0.2)],
        operators=[PolynomialMutation()],
        selection=Truncation(),
        mating=Tournament(),
        objectives=Problem(sphere).objectives,
        size=4,
        pace=pace,
    )


def experiment(**changes: Any) -> Experiment[Vector]:
    parts: dict[str, Any] = {
        "name": "x", "search": search_of(), "fitness": Problem(sphere), "births": 10,
    }  # fmt: skip
    return Experiment(**(parts | changes))


def test_defaults_are_ordered_seed_zero_and_no_final() -> None:
    plain = experiment()
    assert (plain.order, plain.seed, plain.final) == (Ordered(), 0, None)
    assert not isinstance(Free(), Ordered)
    assert Final(Problem(sphere)).baselines == {}


def test_it_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        experiment().births = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"births": 0}, "Experiment.births is 0; give 1 or more"),
        ({"births": -5}, "births is -5"),
        ({"seed": -1}, "Experiment.seed is -1; give 0 or more"),
        ({"search": search_of()()}, "give a function that builds the search anew"),
    ],
)
def test_what_cannot_run_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        experiment(**changes)


@pytest.mark.parametrize(
    ("pace", "window"),
    [(Steady(1), 1), (Steady(4), 4), (Steady(32), 32), (Generational(1), 1), (Generational(6), 6)],
)
def test_the_window_is_that_of_the_pace(pace: Steady | Generational, window: int) -> None:
    assert experiment(search=search_of(pace)).window() == window
