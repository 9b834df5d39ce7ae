"""What all tests share: one Ray cluster a session, and material of a cache of our own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: bits depend on the thread count
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# A job in the background of a shell ignores Ctrl-C, and its children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A local Ray of four slots; `evolve.run(workers=...)` in this process joins it."""
    import logging

    import ray

    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    yield
    ray.shutdown()
