import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from experiments.material.train import Recipe, train


@pytest.fixture
def tiny(tmp_path):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_training_moves_every_block_and_nothing_else_repeatably(tiny, tmp_path, capsys):
    sequences = np.random.default_rng(0).integers(0, 8, (5, 17)).astype(np.uint16)
    recipe = Recipe(steps=60, batch=2, rate=1e-2)
    for name in ("one", "two"):
        train(tiny, sequences, tmp_path / f"{name}.safetensors", recipe)
    one, two = (load_file(tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    before = load_file(tiny / "model.safetensors")
    assert set(before) - set(one) == {"model.embed_tokens.weight"}
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert all(t.dtype is torch.bfloat16 for t in one.values())
    assert not any(torch.equal(t.float(), before[name]) for name, t in one.items())
    first, last = (float(line.split()[4]) for line in capsys.readouterr().out.splitlines()[:2])
    assert last < first
