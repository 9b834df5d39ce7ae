"""The layout: EvoPress's numbers, every birth once, pure and monotone."""

from __future__ import annotations

from itertools import product

import pytest

from evolve.search.generations import PARENT, Generations

LAYOUTS = [
    Generations(f, lam, survivors, fresh, start)
    for f, (lam, survivors), fresh, start in product(
        (1, 5), ((4, (1,)), (8, (1, 1)), (16, (8, 2, 1))), (False, True), (False, True)
    )
]
LAYOUTS += [Generations(2, 8, (2, 1), False, start, screens=2) for start in (False, True)]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_slot_is_one_birth(layout: Generations) -> None:
    births = layout.births(3)
    slots = [layout.at(birth) for birth in range(births)]
    places = [(s.generation, s.stage, s.place) for s in slots]
    assert len(set(places)) == births
    assert [s.generation for s in slots] == sorted(s.generation for s in slots)
    sizes = (layout.offspring, *layout.survivors[:-1])
    for generation, (stage, size) in product(range(3), enumerate(sizes)):
        assert {(generation, stage, place) for place in range(size)} <= set(places)
    for generation in range(3):
        last = (generation, len(sizes) - 1, PARENT)
        assert (last in places) == layout.rescored(generation)
    assert layout.at(births).generation == 3


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_a_stage_waits_for_the_one_before_it(layout: Generations) -> None:
    slots = [layout.at(birth) for birth in range(layout.births(3))]
    for birth, slot in enumerate(slots):
        assert slot.seen <= birth < slot.stop
        assert slots[slot.seen].stop == slot.stop
        assert slot.seen == 0 or slots[slot.seen - 1].stop == slot.seen


def test_fresh_rungs_are_generation_by_generation() -> None:
    layout = Generations(1, 8, (4, 2, 1), fresh=True, start=False)
    found = {(s.generation, s.stage): s.rung for s in map(layout.at, range(1, 40))}
    assert all(rung == 3 * g + stage for (g, stage), rung in found.items())
    assert layout.at(0).rung == 2  # the founder is scored where the first generation ends
    assert layout.rungs(5) == 15


def test_nested_rungs_are_the_stages() -> None:
    layout = Generations(3, 8, (4, 1), fresh=False, start=True)
    assert {layout.at(birth).rung for birth in range(3)} == {0}
    assert {layout.at(birth).rung for birth in range(3, 60)} == {1, 2}
    assert layout.rungs(7) == 3


@pytest.mark.parametrize("start", [False, True])
def test_screens_are_below_the_stages_that_stay(start: bool) -> None:
    layout = Generations(2, 8, (4, 2, 1), fresh=False, start=start, screens=3)
    found = {(s.generation, s.stage): s.rung for s in map(layout.at, range(layout.births(5)))}
    assert found.pop((-1, 0)) == (0 if start else 4)  # founders: else beside the last stage
    first = {g: start + min(g, 2) for g in range(5)}
    assert found == {
        (g, i): [first[g], start + 3, start + 4][i] for g in range(5) for i in range(3)
    }
    assert layout.rungs(5) == start + 5
    assert [layout.rescored(g) for g in range(3)] == [start, False, False]


def test_evopress_s_super_fast_setting_costs_what_it_says() -> None:
    """16 children on 512 tokens, one of them and the parent on 8,192, 400 times: 9.8 million."""
    layout = Generations(1, 16, (1, 1), fresh=True, start=False)
    tokens = [(512, 8192)[layout.at(birth).stage] for birth in range(1, layout.births(400))]
    assert sum(tokens) + 8192 == 400 * (16 * 512 + 2 * 8192)
