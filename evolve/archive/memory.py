"""What a selection remembers, as data and back. Knows no selection.

A memory is None, or a dataclass whose fields are tensors, as NSGA-III's ideal point and extremes
are; anything else cannot be written down.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import TYPE_CHECKING

import numpy as np

from evolve.genome import Packed

if TYPE_CHECKING:
    import torch


def pack_memory(memory: object | None) -> Packed | None:
    """`memory` as its class and its arrays; None if it cannot be written down."""
    import torch

    if memory is None:
        return Packed({}, {})
    cls = type(memory)
    if not is_dataclass(memory) or vars(sys.modules[cls.__module__]).get(cls.__qualname__) != cls:
        return None
    try:
        parts: Mapping[str, object] = vars(memory)
    except TypeError:  # it has slots
        return None
    arrays: dict[str, np.ndarray] = {}
    for name, part in parts.items():
        if not isinstance(part, torch.Tensor) or not _plain(part):
            return None
        arrays[name] = part.numpy()
    return Packed({"class": f"{cls.__module__}:{cls.__qualname__}"}, arrays)


def _plain(tensor: torch.Tensor) -> bool:
    """Whether it is NumPy's as it is."""
    import torch

    whole = tensor.dtype in (torch.bool, torch.int32, torch.int64, torch.float32, torch.float64)
    return whole and tensor.device.type == "cpu" and not tensor.requires_grad


def unpack_memory(packed: Packed) -> object | None:
    """The memory that `packed` came from."""
    import torch

    if "class" not in packed.facts:
        return None
    module, _, name = str(packed.facts["class"]).partition(":")
    cls = vars(importlib.import_module(module))[name]
    fields = {name: torch.from_numpy(np.array(array)) for name, array in packed.arrays.items()}
    memory: object = cls(**fields)
    return memory
