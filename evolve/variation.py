"""The contracts of operators, selections and matings. Knows none of them.

Operators see parents as records; selections and matings see only cost tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, Self, runtime_checkable

import numpy as np

from evolve.genome import Json
from evolve.score import G, Needs, Record

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Offspring(Generic[G]):
    """A child with what its making is worth telling: `facts` of its birth, in the ledger."""

    genome: G
    facts: Mapping[str, Json] = field(default_factory=dict)


class Operator(Protocol[G]):
    """Makes one child. Stateless: everything it needs comes in."""

    @property
    def name(self) -> str:
        """What the ledger credits, e.g. `sbx`."""
        ...

    @property
    def arity(self) -> int:
        """How many parents `vary` takes."""
        ...

    @property
    def needs(self) -> Needs | None:
        """None: varied in the driver, in milliseconds; else varied by a worker."""
        ...

    def vary(self, parents: Sequence[Record[G]], rng: np.random.Generator) -> G | Offspring[G]:
        """A child of `parents` (length `arity`). Raises `Infertile` if there is none."""
        ...


@runtime_checkable
class Learning(Protocol):
    """An operator that learns from failures. Optional."""

    @property
    def lessons(self) -> int:
        """How many failed children of its first parent, newest last, `vary` may get after the
        parents: it must take from `arity` to `arity + lessons` records."""
        ...


@runtime_checkable
class Recording(Protocol):
    """An operator that keeps files of its own, as transcripts, in the run's folder. Optional."""

    def at(self, folder: Path) -> Self:
        """The same operator, keeping them in `folder`."""
        ...


def placed(operator: Operator[G], folder: Path) -> Operator[G]:
    """`operator`, keeping what it keeps in `folder`."""
    return operator.at(folder) if isinstance(operator, Recording) else operator


def offspring(found: G | Offspring[G]) -> Offspring[G]:
    """What `vary` returned, with the facts it gave or none."""
    return found if isinstance(found, Offspring) else Offspring(found)


class Selected(Protocol):
    """What a selection returns."""

    @property
    def indices(self) -> torch.Tensor:
        """(k,) int64 survivors, best first."""
        ...

    @property
    def state(self) -> object | None:
        """What the algorithm remembers for its next call (ideal point, extremes)."""
        ...


@runtime_checkable
class Selection(Protocol):
    """Who survives: a pure function on a cost matrix."""

    def __call__(
        self,
        costs: torch.Tensor,
        k: int,
        *,
        violation: torch.Tensor | None = None,
        state: object | None = None,
        generator: torch.Generator,
    ) -> Selected:
        """`k` survivors of `costs` (n, m), minimised; `violation` (n,), 0 = feasible."""
        ...


@runtime_checkable
class Mating(Protocol):
    """Who mates: parents drawn from a population."""

    def __call__(
        self,
        costs: torch.Tensor,
        samples: Sequence[np.ndarray] | None,
        n_parents: int,
        *,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """(n_parents,) int64 rows of `costs` (n, m), minimised.

        `samples`: one (n, s_i) array per objective, for matings that look at single samples.
        """
        ...
