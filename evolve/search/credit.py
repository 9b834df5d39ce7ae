"""Which operator gets the next birth, by what its children were worth so far: a bandit.

Thompson sampling (Thompson 1933; Chapelle & Li 2011): each operator has a Beta posterior of the
share of its children that enter the front; the operator of the largest draw gets the birth. Old
evidence is discounted (Raj & Kalyani 2017): what helps early need not help late. Knows the names
of operators and whether a child was a success, nothing else; a fold over the records told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evolve.errors import ExperimentError


@dataclass(frozen=True)
class Bandit:
    """`explore`: the share of births given by the search's weights, whatever the credit.
    `memory`: births after which a success counts for 1/e of a new one."""

    explore: float = 0.2
    memory: float = 200.0

    def __post_init__(self) -> None:
        if not 0 <= self.explore <= 1 or not self.memory > 0:
            raise ExperimentError(
                f"Bandit has explore={self.explore} and memory={self.memory}; give a share from "
                "0 to 1 and a number of births above 0."
            )


class Credit:
    """The successes and failures of each of `names`, discounted."""

    def __init__(self, bandit: Bandit, names: Sequence[str]) -> None:
        if twice := [name for name in names if list(names).count(name) > 1]:
            raise ExperimentError(
                f"Two operators are called {twice[0]!r}; a bandit tells them by their names, so "
                "give each its own."
            )
        self._bandit = bandit
        self._names = tuple(names)
        self._won = np.zeros(len(names))
        self._lost = np.zeros(len(names))

    def tell(self, name: str, success: bool) -> None:
        """A child of operator `name` was told; a founder's or a promotion's counts for none."""
        decay = np.exp(-1.0 / self._bandit.memory)
        self._won *= decay
        self._lost *= decay
        if name in self._names:
            (self._won if success else self._lost)[self._names.index(name)] += 1.0

    def draw(self, shares: np.ndarray, rng: np.random.Generator) -> int:
        """The position of the operator that gets the birth; `shares` (n,) sum to 1, and an
        operator of share 0 gets none."""
        if rng.random() < self._bandit.explore:
            return int(rng.choice(len(shares), p=shares))
        worth = rng.beta(1.0 + self._won, 1.0 + self._lost)
        return int(np.argmax(np.where(shares > 0, worth, -1.0)))

    def state(self) -> Mapping[str, list[float]]:
        """What `restore` needs, as JSON."""
        return {"won": self._won.tolist(), "lost": self._lost.tolist()}

    def restore(self, state: Mapping[str, Sequence[float]]) -> None:
        """Become the credit that had this `state`."""
        self._won = np.array(state["won"], np.float64)
        self._lost = np.array(state["lost"], np.float64)
