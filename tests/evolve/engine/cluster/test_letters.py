"""Letters of late results: only those of attempts given up are heeded, each once."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from evolve.engine.cluster import letters as module
from evolve.engine.cluster.letters import Letters, post
from evolve.engine.workers import Outcome
from tests.contracts.workers import job


@pytest.fixture
def box() -> Iterator[Letters]:
    made = Letters("127.0.0.1")
    yield made
    made.close()


def arrived(box: Letters, n: int) -> list[Outcome]:
    """What has come once `n` are there, or after two seconds."""
    found, until = box.arrived(), time.monotonic() + 2.0
    while len(found) < n and time.monotonic() < until:
        time.sleep(0.01)
        found += box.arrived()
    return found


def test_a_late_result_is_an_outcome_of_its_task(box: Letters) -> None:
    task = job(0.1, births=(7,))
    box.expect(task, "ray-3")
    post(box.address, task, "ray-3", 2.5)
    (late,) = arrived(box, 1)
    assert late.task is task
    assert late.worker == "ray-3"
    assert late.answer.seconds == 2.5
    following = job(0.1, births=(8,))
    box.expect(following, "ray-3")
    post(box.address, task, "ray-3", 2.5)  # a second time
    post(box.address, following, "ray-3", 2.5)
    assert [late.task for late in arrived(box, 1)] == [following]
    assert not box.awaited


def test_what_was_not_given_up_is_not_heeded(box: Letters) -> None:
    task = job(0.1, births=(7,))
    box.expect(task, "ray-3")
    post(box.address, task, "ray-4", 2.5)  # another worker's
    post(box.address, replace(task, attempts=(2,)), "ray-3", 2.5)
    post(box.address, replace(task, epoch=9), "ray-3", 2.5)
    post(replace(box.address, token="other"), task, "ray-3", 2.5)
    post(box.address, task, "ray-3", 3.5)
    assert [late.answer.seconds for late in arrived(box, 1)] == [3.5]


def test_short_evaluations_write_no_letter(box: Letters) -> None:
    task = job(0.1)
    box.expect(task, "ray-1")
    post(box.address, task, "ray-1", module.LONG / 2)
    post(box.address, task, "ray-1", module.LONG)
    assert [late.answer.seconds for late in arrived(box, 1)] == [module.LONG]


def test_junk_is_thrown_away(box: Letters) -> None:
    box.expect(job(0.1), "ray-1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for junk in (b"", b"\xff\xfe", b"x y z", box.address.token.encode()):
            out.sendto(junk, (box.address.host, box.address.port))
    post(box.address, job(0.1), "ray-1", 1.0)
    assert len(arrived(box, 1)) == 1


def test_only_so_many_are_listened_for(box: Letters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    tasks = [job(0.1, births=(n,)) for n in range(5)]
    for task in tasks:
        box.expect(task, "ray-1")
    for task in tasks:
        post(box.address, task, "ray-1", 1.0)
    assert sorted(late.task.births[0] for late in arrived(box, 3)) == [2, 3, 4]


def test_a_driver_that_is_gone_is_no_error() -> None:
    box = Letters("127.0.0.1")
    address = box.address
    box.close()
    post(address, job(0.1), "ray-1", 1.0)
