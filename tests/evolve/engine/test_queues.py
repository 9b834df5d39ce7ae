"""Queues by needs."""

from __future__ import annotations

from evolve.engine.queues import Queues
from evolve.score import Needs


def test_equal_needs_share_a_queue_and_others_do_not() -> None:
    queues = Queues()
    queues.of(Needs(cpus=2)).append((1, 2))
    queues.of(Needs(cpus=2)).append((3,))
    queues.of(Needs(custom={"tpu": 1.0}))
    queues.of(Needs(gpus=0.5)).append((4,))
    assert [(needs, list(waiting)) for needs, waiting in queues.filled()] == [
        (Needs(cpus=2), [(1, 2), (3,)]),
        (Needs(gpus=0.5), [(4,)]),
    ]
    assert len(queues) == 3


def test_an_empty_one_is_not_filled() -> None:
    queues = Queues()
    assert not list(queues.filled())
    assert len(queues) == 0
