"""A program in a sandbox: its files as they run there, and what a refusal is.

Knows no metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath

import numpy as np

from evolve.errors import EvolveError, FitnessError
from evolve.genome import Json
from evolve.genomes.program.program import Program
from evolve.score import Score
from fitness.sandbox import Answer, Call, Level, Limits, run

INSIDE = "harness_inside.py"  # the name in the box of what calls the program
PREFIX = "tensor:"  # of the keywords that stand for one dictionary of arrays
TAIL = 2000  # characters of output and traceback that a note keeps


class Refused(EvolveError):
    """A program gave no score: `error` begins with its kind, `notes` are for who made it."""

    def __init__(self, error: str, notes: Mapping[str, str] | None = None) -> None:
        super().__init__(error)
        self.error, self.notes = error, dict(notes or {})

    def score(self) -> Score:
        return Score.failed(self.error, self.notes)


@dataclass(frozen=True)
class Boxes:
    """How boxes are made: `limits` of each, and the least isolation that is enough."""

    limits: Limits
    require: Level

    def ask(
        self,
        stage: str,
        files: Mapping[str, str],
        function: str,
        arrays: Mapping[str, np.ndarray],
        values: Mapping[str, Json],
    ) -> Answer:
        """What `function` answered in a fresh box. Raises `Refused` if it failed there.

        `stage` says for people what was done, e.g. "training".
        """
        call = Call(files, function, arrays, values, self.limits)
        answer = run(call, self.require)
        if answer.error is not None:
            kind, _, why = answer.error.partition(": ")
            raise Refused(f"{kind}: while {stage}: {why or kind}", told(answer))
        return answer


def told(answer: Answer) -> dict[str, str]:
    """Notes of a score: isolation, the traceback (`detail`) and output, their ends."""
    notes = {"isolation": str(answer.isolation)}
    if answer.trace:
        notes["detail"] = answer.trace[-TAIL:]
    if answer.output:
        notes["output"] = answer.output[-TAIL:]
    return notes


def files_of(program: Program, start: Program) -> dict[str, str]:
    """What runs: the normal form, so that no comment carries anything, and what calls it.

    Raises `Refused` where anything outside the regions differs from `start`.
    """
    if program.protected != start.protected:
        raise Refused(
            "invalid: the protected part differs from the start program's (sha256 "
            f"{program.protected[:12]}, not {start.protected[:12]}); change the regions "
            f"{', '.join(start.regions)} only"
        )
    return {**program.normal, INSIDE: inside()}


def module_of(start: Program) -> str:
    """The module that a box imports: the start program's first file. Raises `FitnessError`."""
    first = PurePosixPath(next(iter(start.files)))
    if first.suffix != ".py" or INSIDE in start.files:
        raise FitnessError(
            f"The program's first file is {first}; give a .py file first, and none that is called "
            f"{INSIDE}."
        )
    return ".".join(first.with_suffix("").parts)


def inside() -> str:
    """The source of what calls the program in a box."""
    return resources.files("fitness.harness").joinpath("inside.py").read_text("utf-8")
