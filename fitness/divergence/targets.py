"""The dense model's predictions of each sequence, computed once a worker, within a bound.

Each sequence is run by itself, so its target's bits do not depend on when it is first needed.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING

from evolve.errors import FitnessError
from fitness.divergence.kl import Target, target_of

if TYPE_CHECKING:
    import torch

    from fitness.divergence.body import Body


class Targets:
    """Targets over the `top_k` likeliest tokens (0: all), of at most `limit` bytes, or of one."""

    def __init__(self, top_k: int, limit: int) -> None:
        self.top_k = top_k
        self.limit = limit
        self._known: OrderedDict[int, Target] = OrderedDict()

    def of(self, row: int, ids: torch.Tensor, body: Body) -> Target:
        """The target of sequence number `row`, whose tokens are `ids` (t,).

        Raises `FitnessError` where the dense model predicts what is no number.
        """
        if row not in self._known:
            target = target_of(body.logits(ids[None])[0], self.top_k)
            if not target.offset.isfinite().all():
                raise FitnessError(
                    f"The dense model's predictions of sequence {row} are not finite in "
                    f"{body.dtype}; give Divergence another dtype, or mend the checkpoint."
                )
            self._known[row] = target
            while self.size > self.limit and len(self._known) > 1:
                self._known.popitem(last=False)
        self._known.move_to_end(row)
        return self._known[row]

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return sum(target.size for target in self._known.values())


@lru_cache(maxsize=2)
def targets_of(key: str, device: str, dtype: str, top_k: int, limit: int) -> Targets:
    """The worker's targets of the model and tokens that `key` (a digest) stands for."""
    return Targets(top_k, limit)
