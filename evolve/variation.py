"""The contracts of operators, selections and matings. Knows none of them.

Operators see parents as records; selections and matings see only cost tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from evolve.score import G, Needs, Record

if TYPE_CHECKING:
    import torch


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

    def vary(self, parents: Sequence[Record[G]], rng: np.random.Generator) -> G:
        """A child of `parents` (length `arity`). Raises `Infertile` if there is none."""
        ...


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
