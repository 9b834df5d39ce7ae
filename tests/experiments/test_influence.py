from __future__ import annotations

import numpy as np

from evolve.genomes.compression.anatomy import Anatomy
from experiments import material
from experiments.influence import influence
from experiments.material.samples import samples


def test_it_is_one_minus_the_cosine_of_the_states_around_a_part() -> None:
    import torch
    from transformers import AutoModelForCausalLM

    tokens = samples("search")[:2, :16]
    attention, mlp = influence(Anatomy.of(material.base()), tokens)
    model = AutoModelForCausalLM.from_pretrained(material.base(), dtype=torch.float32)
    block = model.model.layers[2]
    met: dict[str, torch.Tensor] = {}
    block.register_forward_pre_hook(lambda m, given: met.update(before=given[0]))
    block.post_attention_layernorm.register_forward_pre_hook(
        lambda m, given: met.update(between=given[0])
    )
    with torch.inference_mode():
        model(torch.from_numpy(tokens))
    cosine = torch.nn.functional.cosine_similarity(met["before"], met["between"], dim=-1)
    np.testing.assert_allclose(attention[2], 1 - cosine.mean(), rtol=1e-4)
    assert len(attention) == len(mlp) == 6
    assert min(*attention, *mlp) > 0
