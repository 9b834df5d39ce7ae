from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evolve.engine.cluster.mapping import spread
from evolve.errors import GenomeError, WorkerError

WORKERS = [0, pytest.param(1, marks=pytest.mark.ray), pytest.param(2, marks=pytest.mark.ray)]


def square(n: int) -> int:
    return n * n


def late_first(item: tuple[int, Path]) -> int:
    """Item 0 ends after item 2 has begun. Two workers begin that when they have given item 1."""
    n, begun = item
    if n == 2:
        begun.touch()
    patience = time.monotonic() + 60.0
    while n == 0 and not begun.exists() and time.monotonic() < patience:
        time.sleep(0.01)
    return n


def threads(n: int) -> int:
    import torch

    return torch.get_num_threads()


def refuse(n: int) -> int:
    if n == 2:
        raise GenomeError("layer 2 at b2g64 has NaN")
    return n


def die_once(note: Path) -> int:
    """Ends its process at the first attempt on `note`, and answers at the second."""
    if note.exists():
        return 1
    note.touch()
    os._exit(1)


def die(n: int) -> int:
    os._exit(1)


@pytest.mark.parametrize("workers", WORKERS)
class TestAnyNumberOfWorkers:
    @pytest.fixture(autouse=True)
    def _ray(self, workers: int, request: pytest.FixtureRequest) -> None:
        if workers:
            request.getfixturevalue("cluster")

    def test_every_item_once(self, workers: int) -> None:
        found = list(spread(square, range(9), workers=workers))
        assert sorted(found) == [(n, n * n) for n in range(9)]

    def test_nothing(self, workers: int) -> None:
        assert list(spread(square, [], workers=workers)) == []

    def test_one_thread(self, workers: int) -> None:
        assert list(spread(threads, [0], workers=workers)) == [(0, 1)]

    def test_our_errors_are_raised_as_they_are(self, workers: int) -> None:
        with pytest.raises(GenomeError, match=r"^layer 2 at b2g64 has NaN$"):
            list(spread(refuse, range(5), workers=workers))

    def test_items_are_not_read_far_ahead(self, workers: int) -> None:
        read = []

        def items() -> Iterator[int]:
            for n in range(50):
                read.append(n)
                yield n

        for n_done, _ in enumerate(spread(square, items(), workers=workers), 1):
            assert len(read) <= n_done + workers + 1


@pytest.mark.ray
def test_as_they_come(cluster: None, tmp_path: Path) -> None:
    items = [(n, tmp_path / "begun") for n in range(3)]
    first, *others = spread(late_first, items, workers=2)
    assert first == (1, 1)
    assert sorted(others) == [(0, 0), (2, 2)]


@pytest.mark.ray
def test_a_lost_worker_s_item_is_tried_again(cluster: None, tmp_path: Path) -> None:
    notes = [tmp_path / str(n) for n in range(3)]
    assert sorted(spread(die_once, notes, workers=2)) == [(0, 1), (1, 1), (2, 1)]


@pytest.mark.ray
def test_an_item_that_kills_its_workers_is_given_up(cluster: None) -> None:
    with pytest.raises(WorkerError, match="Item 0 lost its worker 3 times"):
        list(spread(die, [0], workers=1))


def test_fewer_than_no_workers() -> None:
    with pytest.raises(WorkerError, match="-1 workers"):
        spread(square, [1], workers=-1)
