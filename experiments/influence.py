"""How much each part of each block changes the hidden states: ShortGPT's block influence.

1 - cosine(x, x + part(x)), the mean over tokens (Men et al. 2024, arXiv 2403.03853, eq. 1, there
for whole blocks). For models whose parts add their output to the residual stream one after the
other: Llama, Mistral, Qwen. Knows no profile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from evolve.genomes.compression.anatomy import Anatomy, Part

if TYPE_CHECKING:
    import torch


def influence(anatomy: Anatomy, tokens: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(attention, mlp), one number a block, on `tokens` (n, length) integers."""
    import torch
    from torch.nn.functional import cosine_similarity
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(anatomy.source.path, dtype=torch.float32).eval()
    found = {part: np.zeros(len(anatomy.blocks)) for part in Part}
    added: dict[tuple[int, Part], torch.Tensor] = {}

    def keep(i: int, part: Part) -> Callable[[object, object, torch.Tensor], None]:
        def hook(module: object, given: object, output: torch.Tensor) -> None:
            added[i, part] = output

        return hook

    handles = [
        model.get_submodule(block.part(part)[-1].name).register_forward_hook(keep(i, part))
        for i, block in enumerate(anatomy.blocks)
        for part in Part
    ]
    with torch.inference_mode():
        for row in torch.from_numpy(tokens.astype(np.int64)):
            states = model(row[None], output_hidden_states=True, use_cache=False).hidden_states
            for i in range(len(anatomy.blocks)):
                before = states[i]
                for part in Part:
                    after = before + added[i, part]
                    change = 1 - cosine_similarity(before, after, dim=-1).mean()
                    found[part][i] += float(change) / len(tokens)
                    before = after
    for handle in handles:
        handle.remove()
    return tuple(found[Part.ATTENTION].tolist()), tuple(found[Part.MLP].tolist())
