"""Keeps other libraries' hands off the global random state and the screen. Knows no genome."""

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


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Without transformers' progress bars; they are as they were on leaving."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
