"""What selections remember, written down and read back."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from evolve.archive.memory import pack_memory, unpack_memory
from operators.selection import NSGA3, das_dennis
from operators.selection.normalisation import Memory
from operators.selection.rvea import RVEA


def test_nothing_is_nothing() -> None:
    packed = pack_memory(None)
    assert packed is not None
    assert unpack_memory(packed) is None


@pytest.mark.parametrize("selection", [NSGA3(das_dennis(3, 4)), RVEA(das_dennis(3, 4), 20)])
def test_a_memory_comes_back_equal(selection: NSGA3 | RVEA) -> None:
    costs = torch.rand(30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    state = selection(costs, 12, generator=torch.Generator().manual_seed(2)).state
    packed = pack_memory(state)
    assert packed is not None
    back = unpack_memory(packed)
    assert type(back) is type(state)
    for name, part in vars(state).items():
        assert torch.equal(vars(back)[name], part), name


def test_what_is_no_dataclass_of_tensors_cannot_be_written_down() -> None:
    @dataclass
    class Counted:
        calls: int = 3

    assert pack_memory(Counted()) is None
    assert pack_memory([torch.zeros(1)]) is None


def test_the_copy_is_its_own() -> None:
    memory = Memory.blank(2)
    packed = pack_memory(memory)
    assert packed is not None
    back = unpack_memory(packed)
    assert isinstance(back, Memory)
    back.ideal[0] = 5.0
    assert memory.ideal[0] == torch.inf
