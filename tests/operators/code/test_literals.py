from __future__ import annotations

import re

import numpy as np
import pytest

from evolve.errors import Infertile
from operators.code import literals
from operators.code.literals import _rounded
from tests.operators.code.children import words
from tests.operators.code.starts import FORWARD, NETWORKS, SEQUENTIAL, program, record


def moves(text: str) -> list[list[str]]:
    """Numbers before and after."""
    return [change.split(": ")[-1].split(" -> ") for change in words(literals(), text)]


def test_kind_sign_and_range_are_kept() -> None:
    for old, new in moves(SEQUENTIAL):
        before, after = float(old.rpartition("=")[2]), float(new)
        assert ("." in old or "e" in old) == ("." in new or "e" in new)
        assert after > 0
        if before < 1:
            assert after < 1


def test_shapes_are_left_alone() -> None:
    for text in NETWORKS.values():
        assert {old for old, _ in moves(text)} <= {
            *("0.2", "lr=0.02", "momentum=0.9", "weight_decay=1e-4", "1.0"),
            *("2", "12"),  # 2 * width, width // 2: factors
        }


def test_whole_numbers_step() -> None:
    text = FORWARD.replace("return Net()", "steps = [6 for _ in 'ab']\n    return Net()")
    found = {new for old, new in moves(text) if old == "6"}
    assert found == {"3", "5", "7", "9", "12"}


def test_axes_and_indices_are_no_quantities() -> None:
    text = "def build(x):\n    return x.mean(2)[3].softmax(dim=4)\n"
    bare = program(text).swapped({"schedule": "def learning_rate(p):\n    return p\n"})
    bare = bare.swapped({"optimiser": "def optimiser(p):\n    return p\n"})
    with pytest.raises(Infertile, match="finds nothing"):
        literals().vary([record(bare)], np.random.default_rng(0))


def test_rounding_leaves_another_number_on_the_same_side_of_one() -> None:
    assert _rounded(0.123456, 0.2) == 0.123
    assert _rounded(0.99999, 0.9) == 0.99999
    assert _rounded(0.20004, 0.2) == 0.20004
    assert re.fullmatch(r"1e-05", repr(_rounded(1e-5, 2e-5)))


def test_numbers_beyond_the_doubles_step_too() -> None:
    text = f"def build(x):\n    return [1{'0' * 309} for _ in x]\n"
    assert {old for old, _ in moves(text)} >= {f"1{'0' * 309}"}
    assert {new for _, new in moves(text)} >= {f"15{'0' * 308}", f"2{'0' * 309}"}


def test_no_number_grows_to_infinity() -> None:
    text = "def build(x):\n    return [1.7e308, x]\n"
    assert {new for old, new in moves(text) if old == "1.7e308"}
    assert "inf" not in {new for _, new in moves(text)}
    assert "inf" not in {new for _, new in moves(text.replace("1.7e308", "1e400"))}
