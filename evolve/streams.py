"""Counter-based random streams. Knows nothing of what is drawn from them.

Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") is keyed by
(seed, stream) and its counter starts at n * 2**192, so any birth's generator can be built
without drawing the ones before it.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


class Stream(IntEnum):
    """What a generator is for; two streams of one birth never meet."""

    ASK = 0
    TELL = 1
    EVALUATE = 2
    FINAL = 3
    MASK = 4
    VARY = 5


def rng_for(seed: int, n: int, stream: Stream) -> np.random.Generator:
    """The generator of birth (or commit, or rung) `n` >= 0 in `stream` of the run `seed` >= 0."""
    if seed < 0 or n < 0:
        raise ValueError(f"seed and n must be 0 or more, got seed={seed}, n={n}.")
    key = np.array([seed & 0xFFFFFFFFFFFFFFFF, int(stream)], dtype=np.uint64)
    counter = np.array([0, 0, 0, n], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


@lru_cache(maxsize=256)  # every evaluation of a rung asks for the same one
def seed_for(seed: int, n: int, stream: Stream) -> int:
    """A 63-bit integer from the same stream, for libraries that want a seed."""
    return int(rng_for(seed, n, stream).integers(2**63 - 1))


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """A CPU torch generator seeded by one draw from `rng`."""
    import torch

    return torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))
