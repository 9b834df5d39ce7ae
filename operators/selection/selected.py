"""What a selection returns. Knows no algorithm."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Selected:
    """Survivors, best first, and what the algorithm remembers for its next call.

    indices: (k,) int64, distinct, on the device of the costs.
    state: pass it back as `state=` in the next call; None if the algorithm remembers nothing.
    """

    indices: Tensor
    state: object | None = None
