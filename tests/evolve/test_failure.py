"""Kinds of failure, and the policy that says how often each is tried."""

from __future__ import annotations

from typing import Any

import pytest

from evolve.errors import ExperimentError
from evolve.failure import POISON, Failure, Policy, is_poison, kind_of_error


def test_every_kind_that_is_not_free_has_its_attempts() -> None:
    policy = Policy(worker_lost=4, node_lost=6, out_of_memory=3, timeout=1, exception=5, invalid=7)
    free = {Failure.DRIVER_LOST, Failure.HALTED}
    tries = {kind: policy.tries(kind) for kind in Failure if kind not in free}
    assert tries == {
        "worker lost": 4, "node lost": 6, "out of memory": 3, "timeout": 1, "exception": 5,
        "invalid": 7, "infertile": 3,
    }  # fmt: skip


@pytest.mark.parametrize("tries", [0, -1, 2.5, True, None])
def test_attempts_are_a_count(tries: Any) -> None:
    with pytest.raises(ExperimentError, match=r"Policy\.timeout is .*; give the number"):
        Policy(timeout=tries)


@pytest.mark.parametrize("kind", sorted(set(Failure) - {Failure.DRIVER_LOST, Failure.HALTED}))
def test_an_error_tells_its_kind(kind: Failure) -> None:
    assert kind_of_error(f"{kind}: it happened: twice") is kind
    assert is_poison(f"{kind}: it happened") == (kind in POISON)


@pytest.mark.parametrize("kind", [Failure.DRIVER_LOST, Failure.HALTED])
def test_what_a_fitness_cannot_say_is_an_exception(kind: Failure) -> None:
    assert kind_of_error(f"{kind}: so it says") is Failure.EXCEPTION


def test_an_error_of_no_kind_is_an_exception() -> None:
    assert kind_of_error("no such checkpoint") is Failure.EXCEPTION
    assert kind_of_error("driver lost: says who?") is Failure.EXCEPTION, "no fitness can tell"
    assert kind_of_error("") is Failure.EXCEPTION
