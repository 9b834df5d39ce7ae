"""Fitnesses that need only what a genome expresses, and where their failures become data.

Knows neither what is expressed nor how it is scored.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from evolve.errors import EvolveError
from evolve.score import G_contra, Needs, Objective, Score, checked


@runtime_checkable
class OnExpressed(Protocol[G_contra]):
    """A fitness whose score depends on `genome.express()` alone, so that it can be shared."""

    @property
    def objectives(self) -> tuple[Objective, ...]: ...
    @property
    def rungs(self) -> tuple[int, ...]: ...
    @property
    def needs(self) -> Needs: ...
    def evaluate(self, genomes: Sequence[G_contra], rung: int, seed: int) -> list[Score]: ...
    def score_expressed(self, expressed: object, rung: int, seed: int) -> Score:
        """The score of what a genome expresses, which it leaves as it was; may raise."""
        ...


def attempt(score: Callable[[], Score], objectives: tuple[Objective, ...]) -> Score:
    """What `score()` returns if it is a score of `objectives`; else a failed score that says why.

    The kind is `invalid` for what breaks the contract, `exception` for everything else that was
    raised; the notes of an exception hold its traceback. A `MemoryError` passes.
    """
    try:
        return checked(score(), objectives)
    except EvolveError as error:
        return Score.failed(f"invalid: {error}")
    except MemoryError:  # the machine's failure, not the candidate's: the engine tries again
        raise
    except Exception as error:  # a user's code raises anything; a failed evaluation is data
        return Score.failed(
            f"exception: {type(error).__name__}: {error}", {"traceback": traceback.format_exc()}
        )
