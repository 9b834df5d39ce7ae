"""One linear layer at all its levels: a task in, the bytes of its file out.

A pure function, so that any process may do it and the bytes are the same. Knows no model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from torch import Tensor

from evolve.errors import GenomeError
from evolve.genomes.compression.database import ERRORS
from evolve.genomes.compression.level import Bits, Zeros
from evolve.genomes.compression.packing import CODES, KEPT, MASK, SCALES, dense, pack, pack_zeros
from evolve.levels.gptq import gptq
from evolve.levels.hessian import Factor, factored, output_error
from evolve.levels.magnitude import magnitude
from evolve.levels.quantise import FITTED, FULL, nearest
from evolve.levels.settings import Method, Settings
from evolve.levels.sparsegpt import sparsegpt

FED_BACK = (Method.GPTQ, Method.SPARSEGPT)  # what they make depends on the Hessian


@dataclass(frozen=True, eq=False)
class Task:
    """`weight`: (rows, columns) in the model's dtype; `hessian`: (columns, columns) float32."""

    name: str
    weight: Tensor
    hessian: Tensor
    levels: tuple[Bits | Zeros, ...]
    settings: Settings


def solved(task: Task) -> tuple[str, bytes]:
    """The layer's name, and its file as safetensors.

    Raises `GenomeError` that names the layer and the level, for NaN or infinity too.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    errors: dict[str, float] = {}
    try:
        factor = None
        if task.settings.method in FED_BACK:
            factor = factored(task.hessian, task.settings.damping)
    except GenomeError as error:
        raise GenomeError(f"{task.name}: {error}") from error
    for level in task.levels:
        try:
            packed = _at(task, level, factor)
        except GenomeError as error:
            raise GenomeError(f"{task.name} at {level.name}: {error}") from error
        weight = dense(level, packed, task.weight.shape[1])
        if not weight.isfinite().all():
            raise GenomeError(
                f"{task.name} at {level.name} has NaN or infinity where the model has none "
                f"(method {task.settings.method.value}, {task.weight.dtype}); give a larger "
                "damping, more calibration tokens, or leave this level out."
            )
        errors[level.name] = output_error(task.weight, weight, task.hessian)
        tensors |= {f"{level.name}.{part}": tensor for part, tensor in packed.items()}
    # One entry: safetensors writes several in any order, and the file is known by its hash.
    return task.name, bytes(save(tensors, {ERRORS: json.dumps(errors, sort_keys=True)}))


def _at(task: Task, level: Bits | Zeros, factor: Factor | None) -> dict[str, Tensor]:
    weight, dtype = task.weight, task.weight.dtype
    if isinstance(level, Bits):
        multiples = FITTED if task.settings.search_scales else FULL
        if factor is None:
            found = nearest(weight, level.bits, level.group, dtype, multiples)
        else:
            found = gptq(weight, factor, level.bits, level.group, dtype, multiples)
        return {CODES: pack(found.codes, level.bits), SCALES: found.scales.contiguous()}
    if factor is None:
        pruned = magnitude(weight, level.count, dtype)
    else:
        pruned = sparsegpt(weight, factor, level.count, dtype)
    mask, kept = pack_zeros(pruned.weight, pruned.kept)
    return {MASK: mask, KEPT: kept}
