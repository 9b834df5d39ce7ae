"""The executor of this process, and the pinning of threads."""

from __future__ import annotations

import os

from evolve.engine.workers import InProcess, threads_pinned
from tests.contracts.workers import WorkersContract


class TestInProcess(WorkersContract):
    def workers(self, fitness: object, slots: int) -> InProcess:
        return InProcess([fitness], slots)  # type: ignore[list-item]


def test_threads_pinned_pins_and_restores() -> None:
    import torch
    from threadpoolctl import threadpool_info

    before, threads = os.environ.get("MKL_NUM_THREADS"), torch.get_num_threads()
    with threads_pinned():
        assert os.environ["MKL_NUM_THREADS"] == "1"
        assert all(pool["num_threads"] == 1 for pool in threadpool_info())
        assert torch.get_num_threads() == 1
    assert os.environ.get("MKL_NUM_THREADS") == before
    assert torch.get_num_threads() == threads
