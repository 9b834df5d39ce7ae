"""mergekit's `merge_state_dicts` on a recipe's own parameters: slow, and the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from unittest import mock

import torch
from mergekit import sparsify
from mergekit.merge_methods import PerGroupValues, merge_state_dicts

from evolve.genomes.checkpoint import Source
from evolve.genomes.merge import MergeRecipe
from evolve.genomes.methods import Method


def loaded(source: Source) -> dict[str, torch.Tensor]:
    """The whole state dict of `source`, in storage dtype, writable."""
    return {name: tensor.clone() for name, tensor in source.tensors(source.entries)}


def merged_by_mergekit(recipe: MergeRecipe) -> dict[str, torch.Tensor]:
    """What mergekit makes of `recipe`, in float32."""
    space = recipe.space
    models = [loaded(source) for source in (space.base, *space.experts)]
    if space.method in (Method.SLERP, Method.KARCHER):
        models = models[1:]
    given = recipe.parameters()
    names = {name for settings in given.values() for name in settings}
    return merge_state_dicts(
        models,
        space.method.value,
        parameters={n: PerGroupValues([given[t][n] for t in models[0]]) for n in names},
        base=None if space.method in (Method.LINEAR, Method.KARCHER) else 0,
        dtype=torch.float32,
    )


def merged_on_masks(
    recipe: MergeRecipe, mask: Callable[[str, int, float, int], torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The same with `mask(tensor name, expert, density, n_elements)` (0 or 1) for its draws."""
    turns = _turns(recipe)

    def drawn(
        tensor: torch.Tensor, density: float, rescale_norm: sparsify.RescaleNorm | None
    ) -> torch.Tensor:
        name, expert = next(turns)
        if density >= 1:
            return tensor
        kept = mask(name, expert, density, tensor.numel()).view_as(tensor)
        rescaled: torch.Tensor = sparsify.rescaled_masked_tensor(tensor, kept, rescale_norm)
        return rescaled

    with mock.patch.object(sparsify, "bernoulli", drawn):
        merged = merged_by_mergekit(recipe)
    assert next(turns, None) is None
    return merged


def _turns(recipe: MergeRecipe) -> Iterator[tuple[str, int]]:
    """The order in which mergekit draws masks."""
    for name in recipe.space.base.entries:
        for expert in range(len(recipe.space.experts)):
            yield name, expert
