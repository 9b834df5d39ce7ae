from __future__ import annotations

import numpy as np
import pytest

from evolve.errors import Infertile
from operators.code import blocks, deletions, layers
from tests.operators.code.children import edits, words
from tests.operators.code.starts import FORWARD, LISTED, ROWS, SEQUENTIAL, program, record


def test_layers_fit_where_they_are_put() -> None:
    found = words(layers(), SEQUENTIAL)
    put = {change.split(" after ")[0] for change in found}
    assert {"Dropout(0.1)", "BatchNorm2d(8)", "BatchNorm1d(32)", "LayerNorm(64)"} <= put
    assert any(word.startswith("Conv2d(16, 16, 3, padding=1, groups=16) and") for word in put)
    assert not [change for change in found if change.endswith("after Linear(32, CLASSES)")]


def test_blocks_bring_their_class_once() -> None:
    found = edits(blocks(), SEQUENTIAL)
    kinds = {change.split("(")[0] for change in found}
    assert kinds == {"ResidualConv", "ResidualLinear", "SqueezeExcite"}
    for change, text in found.items():
        assert text.startswith(f"class {change.split('(')[0]}(nn.Module):")
    rng, parent = np.random.default_rng(0), program(SEQUENTIAL)
    for _ in range(6):
        parent = blocks().vary([record(parent)], rng).genome
    text = parent.regions["network"]
    assert max(text.count(f"class {kind}(nn.Module)") for kind in kinds) == 1
    assert text.count("class") < 6


def test_a_layer_of_a_class_becomes_two() -> None:
    found = edits(layers(), FORWARD)
    assert any("self.head = nn.Sequential(nn.Linear(16, 24), " in each for each in found.values())


def test_deletions_close_the_gap() -> None:
    found = edits(deletions(), SEQUENTIAL)
    assert "without MaxPool2d(2); Linear(16 * 2 * 2, 32) -> Linear(256, 32)" in found
    first = "without Conv2d(1, 8, 3, padding=1); BatchNorm2d(8) -> BatchNorm2d(1)"
    assert any(change.startswith(first) for change in found)
    kept = ("Flatten", "Linear(32, CLASSES)")
    assert not [
        change for change in found if change.startswith(tuple(f"without {k}" for k in kept))
    ]


def test_lists_and_attributes_lose_layers_too() -> None:
    listed = edits(deletions(), LISTED)
    assert "without Half(1, 8); Half(8, 12, stride=2) -> Half(1, 12, stride=2)" in listed
    attributes = edits(deletions(), FORWARD)
    assert any("self.norm = nn.Identity()" in each for each in attributes.values())


def test_one_layer_is_not_deleted() -> None:
    alone = "def build():\n    return nn.Sequential(nn.Linear(64, 10))\n"
    with pytest.raises(Infertile, match="delete finds nothing"):
        deletions().vary([record(program(alone))], np.random.default_rng(0))
    assert edits(deletions(), ROWS)
