"""A start program is tried before anything is born. Knows no search."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from evolve.errors import FitnessError
from evolve.genomes.program.program import Program
from fitness.harness.box import Refused


class Admitting(Protocol):
    """A fitness that can try a program cheaply."""

    def admit(self, program: Program) -> None:
        """Raise `Refused` if `program` cannot be scored."""
        ...


@lru_cache(maxsize=16)  # a recipe is called several times a run; both are known by identity
def check_start(program: Program, fitness: Admitting) -> Program:
    """`program`, if it can be scored. Raises `FitnessError`, and `IsolationError`."""
    try:
        fitness.admit(program)
    except Refused as refused:
        detail = refused.notes.get("detail", "").strip()
        raise FitnessError(
            f"The start program {', '.join(program.files)} fails: {refused.error}. Repair it "
            f"first; nothing was run.{detail and chr(10)}{detail}"
        ) from refused
    return program
