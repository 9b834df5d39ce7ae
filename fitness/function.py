"""A plain function as a fitness: a decorator names what it measures.

    @objectives(maximise("accuracy"), minimise("latency", unit="ms"), timeout=60)
    def score(model, seed):
        return {"accuracy": ..., "latency": ..., "loss": ...}  # `loss`: a recorded metric

Knows no kind of genome. A returned value that is not a finite number is a failed evaluation,
never a number by accident.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Protocol, TypeAlias, runtime_checkable

from evolve.errors import CheckpointError, FitnessError
from evolve.genome import Genome
from evolve.genomes.checkpoint import local
from evolve.score import Needs, Objective, Score
from fitness.expressed import attempt

UserScore: TypeAlias = "Callable[..., float | Mapping[str, float]]"


def maximise(name: str, unit: str = "") -> Objective:
    """An objective to make large."""
    return Objective(name, maximise=True, unit=unit)


def minimise(name: str, unit: str = "") -> Objective:
    """An objective to make small."""
    return Objective(name, unit=unit)


def objectives(
    *declared: Objective,
    constraints: Sequence[str] = (),
    architecture: Path | str | None = None,
    timeout: float | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    memory: int = 0,
) -> Callable[[UserScore], Function]:
    """Turns `score(model)` or `score(model, seed)` into a fitness.

    `score` returns one number (for one objective) or a dict with every objective and constraint;
    its other keys become metrics. `constraints`: names whose positive part is violation. What
    `score` does to its `model` ends with the call: no other candidate sees it.
    `architecture`: a checkpoint directory or hub id; `model` is then its transformers causal
    model in float32 (one a worker, eval mode, no gradients, on the GPU if `gpus`) carrying the
    candidate's weights, else what the genome expresses. `timeout` in seconds, `memory` in bytes.
    Raises `FitnessError` for a wrong declaration.
    """
    needs = Needs(cpus=cpus, gpus=gpus, memory=memory, timeout=timeout)

    def declare(score: UserScore) -> Function:
        return Function(score, declared, tuple(constraints), architecture, needs)

    return declare


@dataclass(frozen=True)
class Function:
    """A user's `score` with its declaration; made by `objectives`."""

    score: UserScore
    objectives: tuple[Objective, ...]
    constraints: tuple[str, ...] = ()
    architecture: Path | str | None = None  # an absolute path from then on, if it is found
    needs: Needs = field(default_factory=Needs)
    rungs: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        names = [objective.name for objective in self.objectives] + list(self.constraints)
        if not self.objectives:
            raise FitnessError(
                f"{self.name} declares no objective; write e.g. "
                '@objectives(maximise("accuracy")) above it.'
            )
        if twice := [name for name in names if names.count(name) > 1]:
            raise FitnessError(f"{self.name} declares {twice[0]!r} twice; name each thing once.")
        parameters = inspect.signature(self.score).parameters
        if len(parameters) - ("seed" in parameters) != 1:
            raise FitnessError(
                f"{self.name} takes ({', '.join(parameters)}); give it `model`, and `seed` if it "
                "draws random numbers."
            )
        if self.architecture is not None:
            with suppress(CheckpointError):  # said when it is used: `_found` may put it right
                object.__setattr__(self, "architecture", local(self.architecture))

    @property
    def name(self) -> str:
        """What the user calls it, for messages."""
        return self.score.__qualname__ if isinstance(self.score, FunctionType) else "score"

    def evaluate(self, genomes: Sequence[Genome], rung: int, seed: int) -> list[Score]:
        """One score a genome, each by one call of the user's function."""
        return [attempt(partial(self._of, genome, seed), self.objectives) for genome in genomes]

    def score_expressed(self, expressed: object, rung: int, seed: int) -> Score:
        """As `evaluate`; the user's function gets a copy, since it may write into its model."""
        own = copy.deepcopy(expressed) if self.architecture is None else expressed
        return self._score(own, seed)

    def _of(self, genome: Genome, seed: int) -> Score:
        return self._score(genome.express(), seed)

    def _score(self, expressed: object, seed: int) -> Score:
        if self.architecture is None:
            return self._read(self._call(expressed, seed))
        import torch

        from fitness.live import lent

        device = "cuda" if self.needs.gpus else "cpu"
        with torch.no_grad():
            model = lent(local(self.architecture), expressed, device)
            return self._read(self._call(model, seed))

    def _call(self, model: object, seed: int) -> object:
        if "seed" in inspect.signature(self.score).parameters:
            return self.score(model, seed=seed)
        return self.score(model)

    def _read(self, returned: object) -> Score:
        """`returned` as a score. Raises `FitnessError` if it is none."""
        names = [objective.name for objective in self.objectives]
        if not isinstance(returned, Mapping):
            if names[1:] or self.constraints:
                expected = ", ".join(repr(name) for name in [*names, *self.constraints])
                raise FitnessError(
                    f"{self.name} returned {returned!r}, expected a dict with {expected}"
                )
            returned = {names[0]: returned}
        numbers = {name: number(name, value) for name, value in returned.items()}
        if absent := [name for name in [*names, *self.constraints] if name not in numbers]:
            raise FitnessError(
                f"{self.name} returned no {absent[0]!r}, only {', '.join(map(repr, numbers))}"
            )
        return Score(
            tuple(numbers.pop(name) for name in names),
            violation=math.fsum(max(0.0, numbers[name]) for name in self.constraints),
            metrics=numbers,
        )

    def __reduce__(self) -> tuple[object, ...]:
        """By name if a module holds it, else by value (which `ray.cloudpickle` can).

        The decorated name hides the function, so that pickle alone would not find it.
        """
        if isinstance(self.score, FunctionType):
            module, qualname = self.score.__module__, self.score.__qualname__
            if module != "__main__" and _at(sys.modules.get(module), qualname) is self:
                return _found, (module, qualname, self.architecture)
        fields = (self.score, self.objectives, self.constraints, self.architecture, self.needs)
        return Function, (*fields, self.rungs)


@runtime_checkable
class _Scalar(Protocol):
    """A numpy or torch value, if it has no dimension."""

    @property
    def ndim(self) -> int: ...
    def item(self) -> object: ...


def number(name: object, value: object) -> float:
    """`value` as a finite float; numpy and torch scalars too. Raises `FitnessError`."""
    if not isinstance(name, str):
        raise FitnessError(f"the key {name!r} is {type(name).__name__}, expected a name")
    plain = value.item() if isinstance(value, _Scalar) and value.ndim == 0 else value
    if isinstance(plain, bool) or not isinstance(plain, (int, float)):
        kind = type(value).__name__
        raise FitnessError(f"{name!r} is {_short(value)} ({kind}), expected one number")
    try:
        if math.isfinite(plain):
            return float(plain)
    except OverflowError:  # an integer beyond float64
        pass
    raise FitnessError(f"{name!r} is {_short(plain)}, expected a finite number")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _at(holder: object, qualname: str) -> object:
    """What `holder` (a module) has at `qualname`, or None."""
    for part in qualname.split("."):
        try:
            holder = vars(holder)[part]
        except (KeyError, TypeError):
            return None
    return holder


def _found(module: str, qualname: str, architecture: Path | str | None) -> Function:
    """The fitness of that name, in the process that unpickles it.

    It keeps the pickled `architecture`: a relative one means another place in another folder.
    """
    found = _at(importlib.import_module(module), qualname)
    if not isinstance(found, Function):
        raise FitnessError(
            f"{module}.{qualname} is not a fitness here; the file has changed, or another module "
            f"named {module!r} comes first on the path."
        )
    same = found.architecture == architecture
    return found if same else replace(found, architecture=architecture)
