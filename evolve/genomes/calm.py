"""Keeps other libraries' hands off the global random state. Knows no genome."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def untouched_random_state(seed: int | None = None) -> Iterator[None]:
    """Puts Python's, NumPy's and torch's global (CPU) random states back on leaving.

    With `seed` torch's generator starts from it inside, for libraries that draw there.
    """
    import torch

    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    kept = torch.random.get_rng_state()
    try:
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.random.set_rng_state(kept)
