from __future__ import annotations

import numpy as np
import pytest

from evolve.errors import Infertile
from evolve.genomes.program.program import Program
from operators.code import Mutator, activations, normalisations, poolings
from tests.operators.code.children import words
from tests.operators.code.starts import FORWARD, LISTED, SEQUENTIAL, record


def test_activations_of_every_form() -> None:
    layers = words(activations(), SEQUENTIAL)
    assert {"ReLU() -> SiLU()", "GELU() -> Tanh()"} <= layers
    functions = {change.split("(")[0] for change in words(activations(), FORWARD)}
    assert {"relu", "gelu", "tanh", "ReLU"} <= functions
    assert "ReLU -> GELU" in words(activations(), LISTED)


def test_a_function_of_torch_stays_one() -> None:
    only = FORWARD.replace("F.relu", "").replace("F.gelu", "").replace("nn.ReLU", "nn.Identity")
    found = words(activations(), only)
    assert {change.rpartition(" -> ")[2].split("(")[0] for change in found} == {
        *("relu", "sigmoid", "selu")
    }


def test_normalisations() -> None:
    found = words(normalisations(), SEQUENTIAL)
    assert {
        "BatchNorm2d(8) -> GroupNorm(2, 8)",
        "BatchNorm2d(8) -> InstanceNorm2d(8, affine=True)",
        "BatchNorm2d(8) -> Identity()",
        "GroupNorm(4, 16) -> BatchNorm2d(16)",
    } <= found
    again = SEQUENTIAL.replace("nn.BatchNorm2d(8)", "nn.Identity()")
    assert "Identity() -> BatchNorm2d(8)" in words(normalisations(), again)
    rows = SEQUENTIAL.replace("nn.Dropout(0.2)", "nn.BatchNorm1d(32)")
    assert "BatchNorm1d(32) -> LayerNorm(32)" in words(normalisations(), rows)
    inside = words(normalisations(), LISTED)  # the width is a parameter
    assert "BatchNorm2d(out_channels) -> GroupNorm(1, out_channels)" in inside


def test_poolings() -> None:
    assert words(poolings(), SEQUENTIAL) == {"MaxPool2d(2) -> AvgPool2d(2)"}
    assert "max_pool2d(x, 2)" in " ".join(words(poolings(), FORWARD))


@pytest.mark.parametrize("operator", [activations(), normalisations()])
def test_names_that_are_not_of_torch_are_left_alone(operator: Mutator) -> None:
    text = "def build():\n    return [ReLU(), BatchNorm2d(3)]\n"
    bare = Program({"net.py": text}, ("net.py:build",))
    with pytest.raises(Infertile, match="finds nothing to change"):
        operator.vary([record(bare)], np.random.default_rng(0))
