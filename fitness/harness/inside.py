"""What runs in a box beside a candidate's files, as source text: it calls the candidate.

Whatever it returns comes from the same process as the candidate, so nobody may believe it: it
only saves work on candidates that are honest and broken. Knows nothing of ours.
"""

from __future__ import annotations

import importlib
import math
from types import ModuleType
from typing import Any

import numpy as np
import torch

# Arrays of a dictionary travel as keywords `tensor:NAME`, hence **tensors below.


def rehearse(
    program: str,
    inputs: np.ndarray,
    labels: np.ndarray,
    classes: int,
    budget: int | None,
    seed: int,
) -> dict[str, Any]:
    """Shapes on the meta device, the budget of parameters, then a few steps on one batch.

    Returns the shapes by name; `elements` alone where they are more than `budget`.
    """
    try:
        module = importlib.import_module(program)
    except Exception as error:
        raise RuntimeError(f"importing the program: {error!r}") from error
    try:
        shapes = _shapes(module, inputs.shape, classes)
    except Exception as error:
        raise RuntimeError(f"shapes on the meta device: {error!r}") from error
    elements = sum(math.prod(shape) for shape in shapes.values())
    if budget is not None and elements > budget:
        return {"elements": elements}
    try:
        weights = module.train(inputs=inputs, labels=labels, epochs=1, seed=seed, start=None)
        scores = np.asarray(module.predict(weights, inputs))
        if scores.shape != (len(inputs), classes):
            raise ValueError(f"predict gave {scores.shape}, expected ({len(inputs)}, {classes})")
    except Exception as error:
        raise RuntimeError(f"a few steps on one batch: {error!r}") from error
    return {"elements": elements, "shapes": shapes}


def train(
    program: str,
    inputs: np.ndarray,
    labels: np.ndarray,
    epochs: int,
    seed: int,
    **tensors: np.ndarray,
) -> dict[str, np.ndarray]:
    """The candidate's trained tensors; `tensors`: those to start from, if any."""
    module = importlib.import_module(program)
    start = _unnamed(tensors) or None
    found = module.train(inputs=inputs, labels=labels, epochs=epochs, seed=seed, start=start)
    return {str(name): np.asarray(array) for name, array in found.items()}


def predict(program: str, inputs: np.ndarray, **tensors: np.ndarray) -> dict[str, np.ndarray]:
    """The candidate's scores of `inputs` from its weights."""
    module = importlib.import_module(program)
    return {"scores": np.asarray(module.predict(_unnamed(tensors), inputs))}


def _shapes(module: ModuleType, shape: tuple[int, ...], classes: int) -> dict[str, list[int]]:
    with torch.device("meta"):
        model = module.build()
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"build() gave {type(model).__name__}, expected a torch.nn.Module")
        output = model(torch.zeros(shape))
    if tuple(output.shape) != (shape[0], classes):
        expected = (shape[0], classes)
        raise ValueError(
            f"a batch {shape} becomes {tuple(output.shape)}, expected {expected}: the last layer "
            "gives one score a class"
        )
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}


def _unnamed(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.partition(":")[2]: array for name, array in tensors.items()}
