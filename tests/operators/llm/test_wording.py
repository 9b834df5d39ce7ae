from __future__ import annotations

import pytest

from evolve.errors import ExperimentError
from operators.llm.wording import AIMS, PLAIN, ROLES, Style, filled, said
from tests.operators.llm.cases import rng


def test_there_are_two_families_of_several_openings() -> None:
    texts = {said(name) for name in PLAIN + ROLES}
    assert len(texts) == len(PLAIN) + len(ROLES)
    assert len(PLAIN) >= 2
    assert len(ROLES) >= 4


def test_a_draw_is_the_same_for_the_same_generator() -> None:
    assert Style().draw(rng(3)) == Style().draw(rng(3))


def test_draws_reach_everything() -> None:
    draws = [Style().draw(rng(n)) for n in range(150)]
    assert {draw.opening for draw in draws} == set(PLAIN + ROLES)
    assert {draw.aim for draw in draws} == set(AIMS)
    assert {draw.temperature for draw in draws} == {0.2, 0.6, 1.0}
    assert len({draw.sample for draw in draws}) == 150


def test_parts_are_filled_in_as_they_are() -> None:
    assert "refused: costs $5 {here}" in filled("repair", {"refusal": "costs $5 {here}"})


@pytest.mark.parametrize(
    ("style", "told"),
    [
        (lambda: Style(openings=("role_pirate",)), "no prompt 'role_pirate'"),
        (lambda: Style(aims=()), "Style.aims is empty"),
        (lambda: Style(temperatures=(0.5, -1.0)), "from 0 to 2"),
    ],
)
def test_refuses_a_style(style: object, told: str) -> None:
    assert callable(style)
    with pytest.raises(ExperimentError, match=told):
        style()
