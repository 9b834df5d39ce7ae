from __future__ import annotations

from itertools import pairwise

from evolve.store.thinning import crowded


def kept_of(n: int) -> list[int]:
    kept: list[int] = []
    for order in range(1000, 1000 * n + 1, 1000):
        kept.append(order)
        gone = set(crowded(kept))
        kept = [each for each in kept if each not in gone]
    return kept


def test_few_are_kept() -> None:
    assert len(kept_of(300)) <= 24


def test_first_and_newest_are_kept() -> None:
    kept = kept_of(300)
    assert (kept[0], kept[-1]) == (1000, 300_000)


def test_they_are_dense_where_they_are_new() -> None:
    kept = kept_of(300)
    gaps = [b - a for a, b in pairwise(kept)]
    assert gaps[-1] == 1000
    assert gaps[0] == max(gaps)


def test_two_cannot_be_crowded() -> None:
    assert crowded([]) == crowded([5]) == crowded([5, 6]) == []
