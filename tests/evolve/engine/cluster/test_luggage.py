"""What workers are given: code, hashes, pickled fitnesses."""

from __future__ import annotations

import threading

import pytest

from evolve.engine.cluster.evaluator import home
from evolve.engine.cluster.luggage import packed_for
from evolve.engine.snapshot import snapshot
from evolve.engine.unfold import own_sha256
from evolve.errors import WorkerError
from tests.contracts.workers import Sums


def test_the_fitnesses_come_back_equal() -> None:
    import ray.cloudpickle

    code = snapshot(None)
    luggage = packed_for([Sums(), Sums()], code)
    assert ray.cloudpickle.loads(luggage.fitnesses) == (Sums(), Sums())
    assert (luggage.archive, luggage.sha256, luggage.roots) == (
        code.archive, code.sha256, code.roots,
    )  # fmt: skip
    assert luggage.evolve_sha256 == own_sha256()
    assert luggage.home == home()


def test_what_cannot_be_pickled_is_refused() -> None:
    fitness = Sums()
    object.__setattr__(fitness, "lock", threading.Lock())
    with pytest.raises(WorkerError, match=r"cannot be sent to workers \(TypeError.*a path, a na"):
        packed_for([fitness], snapshot(None))
