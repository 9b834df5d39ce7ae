"""Methods that mergekit's in-memory functions realise, tensor by tensor, in float32.

Knows which inputs each method takes. Global random states are put back; della draws from
torch's generator, seeded per tensor from `evolve.streams`, so that its masks depend on the
space's seed and the tensor's name alone.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from evolve.genomes.calm import untouched_random_state
from evolve.genomes.checkpoint import Source
from evolve.genomes.layout import by_tensor
from evolve.genomes.methods import Method
from evolve.genomes.realise.realise import TORCH, complete, in_model_order
from evolve.streams import Stream, seed_for

if TYPE_CHECKING:
    from evolve.genomes.merge import MergeRecipe


def realise_by_mergekit(recipe: MergeRecipe) -> dict[str, torch.Tensor]:
    """The merged state dict of `recipe`, whose method is one of mergekit's."""
    from mergekit.merge_methods import merge_tensors

    space = recipe.space
    names = _moved(space.base, space.experts, in_model_order(space))
    inputs = space.experts if space.method in _WITHOUT_BASE else (space.base, *space.experts)
    base_index = None if space.method is Method.KARCHER else 0
    settings, cells = recipe.cells(), by_tensor(space.layout.cells)
    merged = {}
    with torch.no_grad():
        for named in zip(*(source.tensors(names) for source in inputs)):
            name = named[0][0]
            with untouched_random_state(_seed(space.seed, name)):
                merged[name] = merge_tensors(
                    [tensor for _, tensor in named],
                    space.method.value,
                    parameters=settings[cells[name]],
                    base_index=base_index,
                    name=name,
                    dtype=torch.float32,
                    out_dtype=TORCH[space.dtype],
                )
    return complete(space, merged)


_WITHOUT_BASE = (Method.SLERP, Method.KARCHER)  # slerp's "base" is its first input


@lru_cache(maxsize=8)
def _moved(base: Source, experts: tuple[Source, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `names` that any expert changed."""
    return tuple(
        name
        for (name, ours), *theirs in zip(
            base.tensors(names), *(expert.tensors(names) for expert in experts)
        )
        if any(not torch.equal(ours.float(), tensor.float()) for _, tensor in theirs)
    )


def _seed(seed: int, name: str) -> int:
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "little")
    return seed_for(seed, number, Stream.MASK)
