"""Brackets: the paper's table, each birth once and in time, and no barrier."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest

from evolve import Generational, Steady
from evolve.genomes.vector import Vector
from evolve.search.brackets import Layout
from evolve.search.racing import Racing, hyperband
from tests.evolve.search.racers import ONE, Steps, genetic, racing


def counts(search: Racing[Vector], brackets: int) -> list[list[tuple[int, int]]]:
    """(rung, births) of each of the first brackets, in their order."""
    found: dict[int, list[tuple[int, int]]] = {}
    for index in range(brackets * 12):
        block = search.layout.block(index)
        found.setdefault(block.inner.start, []).append((block.rung, len(block.births)))
    return [rungs for _, rungs in sorted(found.items())[:brackets]]


def test_rungs_of_hyperband_are_the_table_s() -> None:
    """Li et al. 2017, table 1: R = 81, eta = 3; and R = 27 by the same rule."""
    search = hyperband(Steps(window=10), objectives=ONE, rungs=5, eta=3)
    table = [
        [(0, 81), (1, 27), (2, 9), (3, 3), (4, 1)],
        [(1, 27), (2, 9), (3, 3), (4, 1)],
        [(2, 9), (3, 3), (4, 1)],
        [(3, 6), (4, 2)],
        [(4, 5)],
    ]
    assert counts(search, 10) == table + table
    smaller = [
        [(0, 27), (1, 9), (2, 3), (3, 1)],
        [(1, 9), (2, 3), (3, 1)],
        [(2, 6), (3, 2)],
        [(3, 4)],
    ]
    assert counts(hyperband(Steps(8), objectives=ONE, rungs=4), 4) == smaller
    twice = hyperband(Steps(8), objectives=ONE, rungs=4, winners=2)
    assert counts(twice, 4) == [[(rung, 2 * n) for rung, n in each] for each in smaller]


PACES = [Steady(8), Steady(60), Generational(3), Generational(10)]


@pytest.mark.parametrize(
    ("pace", "winners"), [(Steady(1), 1), *product(PACES, [1, 3, (1, 2, 3)])], ids=str
)
@pytest.mark.parametrize("brackets", [1, 5, 50])
def test_the_layout_serves_each_inner_birth_once_and_in_time(
    pace: Steady | Generational, winners: int | tuple[int, ...], brackets: int
) -> None:
    inner = genetic(pace=pace)
    starts = (0,) if isinstance(winners, int) else (0, 2, 1)
    layout = racing(inner, winners=winners, starts=starts, brackets=brackets).layout
    finals: list[int] = []
    served: list[int] = []
    for index in range(150):
        block = layout.block(index)
        assert block.births.start == (layout.block(index - 1).births.stop if index else 0)
        assert all(layout.at(birth) is block for birth in (block.births[0], block.births[-1]))
        assert block.seen <= block.births.start
        if block.source is None:
            served += block.inner
            told = sum(birth < block.seen for birth in finals)
            assert inner.seen(block.inner[-1]) <= told
        else:
            source = layout.block(block.source)
            assert source.births.stop <= block.seen
            assert (source.rung, source.inner) == (block.rung - 1, block.inner)
            assert len(source.births) == 3 * len(block.births)
        finals += block.births if block.rung == 2 else ()
    assert served == list(range(len(served)))
    assert len(finals) > 20


def test_a_promotion_waits_for_its_rung_only() -> None:
    """Other brackets fill the workers: no moment with fewer in flight than the search's own."""
    search = racing(Steps(window=8))
    flying = [birth + 1 - search.seen(birth) for birth in range(2000)]
    assert min(flying[200:]) >= 8
    assert np.mean(flying[200:]) > 24
    wide = racing(Steps(window=64), brackets=64)
    assert min(birth + 1 - wide.seen(birth) for birth in range(3000, 6000)) >= 64
    alone = racing(Steps(window=8), brackets=1)
    assert [alone.seen(birth) for birth in range(14)] == [0] * 9 + [9] * 3 + [12] * 2


def test_a_search_that_never_waits_still_finishes_its_brackets() -> None:
    search = racing(Steps(window=10**9))
    rungs = [search.layout.at(birth).rung for birth in range(1300)]
    assert Counter(rungs)[2] > 80


def test_a_layout_is_the_same_wherever_one_looks_first() -> None:
    parts: dict[str, Any] = {"rungs": 3, "eta": 2, "winners": (1, 2), "starts": (0, 1)}
    near, far = (Layout(genetic().seen, brackets=5, **parts) for _ in range(2))
    far.at(3000)
    assert [near.at(birth) for birth in range(500)] == [far.at(birth) for birth in range(500)]
