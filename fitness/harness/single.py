"""Programs that construct something, scored by a verifier that trusts nothing: one box.

The program makes a value (numbers, texts, lists, or arrays by name); `verify`, in the trusted
process, computes the objectives from that value alone. Knows neither the program nor the value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from evolve.errors import FitnessError
from evolve.genomes.program.program import Program
from evolve.score import Needs, Objective, Score, checked
from fitness.harness.box import Boxes, Refused, files_of, module_of, told
from fitness.sandbox import Level, Limits, isolation, required

Verify: TypeAlias = "Callable[[object], Mapping[str, float] | str]"


@dataclass(frozen=True, eq=False)
class Single:
    """`function(seed)` of the program's first file runs in a box; `verify` measures its value.

    `verify` returns every objective by name (its other keys become metrics), or a text that says
    what is wrong with the value; it must believe nothing, NaN and infinities above all.
    """

    start: Program
    function: str
    verify: Verify
    objectives: tuple[Objective, ...]
    limits: Limits = field(default_factory=Limits)
    require: Level = field(default_factory=required)
    rungs: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        module_of(self.start)
        if not self.objectives:
            raise FitnessError("Single.objectives is empty; name what `verify` measures.")

    @property
    def needs(self) -> Needs:
        return Needs(gpus=1.0 if self.limits.gpu else 0.0)

    def plan(self) -> Sequence[str]:
        """What runs, for how long, and how far it is shut in."""
        return (
            f"program     {', '.join(self.start.files)}: {', '.join(self.start.regions)}",
            f"one run     at most {self.limits.seconds:g} s",
            f"isolation   {isolation()}",
        )

    def evaluate(self, genomes: Sequence[Program], rung: int, seed: int) -> list[Score]:
        return [self._evaluated(genome, seed) for genome in genomes]

    def admit(self, program: Program) -> None:
        """Raise `Refused` if `program` gives nothing that can be measured."""
        self._score(program, 0)

    def _evaluated(self, program: Program, seed: int) -> Score:
        try:
            return checked(self._score(program, seed), self.objectives)
        except Refused as refused:
            return refused.score()

    def _score(self, program: Program, seed: int) -> Score:
        answer = Boxes(self.limits, self.require).ask(
            "running it",
            files_of(program, self.start),
            f"{module_of(self.start)}:{self.function}",
            {},
            {"seed": seed},
        )
        measured = self.verify(answer.value)
        if isinstance(measured, str):
            raise Refused(f"invalid: {measured}", told(answer))
        numbers = {name: float(value) for name, value in measured.items()}
        names = [objective.name for objective in self.objectives]
        if absent := [name for name in names if not math.isfinite(numbers.get(name, math.nan))]:
            raise Refused(f"invalid: {absent[0]!r} is no finite number", told(answer))
        values = tuple(numbers.pop(name) for name in names)
        return Score(values, metrics=numbers, notes=told(answer))
