"""Small random Llama checkpoints for tests: a base and experts some noise away from it."""

from __future__ import annotations

from pathlib import Path

import torch


def write_base(folder: Path, *, tied: bool = True, dtype: str = "bfloat16", seed: int = 0) -> Path:
    """A 2-layer Llama of 20 thousand parameters, saved as `dtype`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        tie_word_embeddings=tied,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.data.add_(0.1 * torch.randn_like(parameter))
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    return folder


def write_expert(folder: Path, base: Path, *, seed: int, frozen: str = "embed") -> Path:
    """`base` with noise on every tensor whose name lacks `frozen`; with none, on all."""
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(base)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if not frozen or frozen not in name:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data.add_((0.02 * noise).to(parameter.dtype))
    model.save_pretrained(folder)
    return folder


def write_family(
    folder: Path, *, n: int = 3, tied: bool = True, dtype: str = "bfloat16", frozen: str = "embed"
) -> tuple[Path, list[Path]]:
    """A base and `n` experts under `folder`."""
    base = write_base(folder / "base", tied=tied, dtype=dtype)
    return base, [
        write_expert(folder / f"expert{i}", base, seed=i + 1, frozen=frozen) for i in range(n)
    ]
