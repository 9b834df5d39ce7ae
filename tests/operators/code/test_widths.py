from __future__ import annotations

import numpy as np
import pytest

from evolve.errors import Infertile
from operators.code import narrowing, widening
from tests.operators.code.children import edits
from tests.operators.code.starts import FORWARD, ROWS, SEQUENTIAL, program, record


def changes(text: str, widen: bool = True) -> set[str]:
    return set(edits(widening() if widen else narrowing(), text, rounds=8))


def test_a_layer_and_all_that_takes_it() -> None:
    found = changes(SEQUENTIAL)
    assert (
        "Conv2d(1, 8, 3, padding=1) -> Conv2d(1, 12, 3, padding=1); BatchNorm2d(8) -> "
        "BatchNorm2d(12); Conv2d(8, 16, kernel_size=3, padding=1, bias=False) -> "
        "Conv2d(12, 16, kernel_size=3, padding=1, bias=False)"
    ) in found
    assert "Linear(16 * 2 * 2, 32) -> Linear(16 * 2 * 2, 64); Linear(32, CLASSES) -> " in " ".join(
        found
    )


def test_narrower() -> None:
    starts = {change.split(";")[0] for change in changes(SEQUENTIAL, widen=False)}
    assert "Linear(16 * 2 * 2, 32) -> Linear(16 * 2 * 2, 16)" in starts


def test_a_shared_name_is_changed_where_it_is_given() -> None:
    assert {change.split(" -> ")[0] for change in changes(ROWS)} == {
        "width = 32",
        "hidden = width // 2",
    }
    assert "width = 8" in {change.split(" -> ")[0] for change in changes(FORWARD)}


def test_the_last_layer_is_as_wide_as_ever() -> None:
    assert all("CLASSES)" in text for text in edits(widening(), SEQUENTIAL).values())


def test_a_width_of_one_is_the_narrowest() -> None:
    text = """def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Linear(1, 10))
"""
    with pytest.raises(Infertile, match="a width of 1 can go no further"):
        narrowing().vary([record(program(text))], np.random.default_rng(0))
