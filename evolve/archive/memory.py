"""What a selection remembers, as data and back. Knows no selection.

A memory is None, or a dataclass whose fields are tensors, as NSGA-III's ideal point and extremes
are; anything else cannot be written down.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import is_dataclass

import numpy as np

from evolve.genome import Packed


def pack_memory(memory: object | None) -> Packed | None:
    """`memory` as its class and its arrays; None if it cannot be written down."""
    import torch

    if memory is None:
        return Packed({}, {})
    if not is_dataclass(memory):
        return None
    parts: Mapping[str, object] = vars(memory)
    arrays: dict[str, np.ndarray] = {}
    for name, part in parts.items():
        if not isinstance(part, torch.Tensor) or part.device.type != "cpu":
            return None
        arrays[name] = part.numpy()
    cls = type(memory)
    return Packed({"class": f"{cls.__module__}:{cls.__qualname__}"}, arrays)


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
