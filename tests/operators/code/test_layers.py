from __future__ import annotations

import inspect

import pytest
import torch

from operators.code.layers import ACTIVATIONS, FUNCTIONS, SIGNATURES, Widths, widths


@pytest.mark.parametrize("name", [name for name in SIGNATURES if name[0].isupper()])
def test_signatures_are_those_of_torch(name: str) -> None:
    layer: type[torch.nn.Module] = vars(torch.nn)[name]
    order = tuple(inspect.signature(layer).parameters)
    ours = SIGNATURES[name]
    assert ours == order[: len(ours)]


def test_every_activation_is_one() -> None:
    assert [name for name in ACTIVATIONS if name not in vars(torch.nn)] == []
    assert [name for name in FUNCTIONS if name not in vars(torch.nn.functional)] == []


def test_widths_of_layers_and_of_classes() -> None:
    assert widths("ReLU", {}) is None
    assert widths("Linear", {}) == Widths(SIGNATURES["Linear"], "in_features", "out_features")
    norm = widths("GroupNorm", {})
    assert norm is not None
    assert (norm.input, norm.output) == ("num_channels", "")
    order = ("in_channels", "planes", "stride")
    assert widths("Block", {"Block": order}) == Widths(order, "in_channels", "planes")
    assert widths("Gate", {"Gate": ("channels", "ratio")}) == Widths(
        ("channels", "ratio"), "channels"
    )
    assert widths("Other", {"Other": ("inner",)}) is None
