"""A random Llama of two layers, and a genome that expresses its weights, shifted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
import torch

from evolve.genome import Packed

N_VOCABULARY = 96


def save_llama(folder: Path, *, tied: bool = True) -> Path:
    """Writes the model (float32, 2 layers of width 16) to `folder`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=N_VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
        tie_word_embeddings=tied,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@cache
def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def tokens(n: int = 6, length: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, N_VOCABULARY, (n, length))


@dataclass(frozen=True)
class Shifted:
    """The weights at `folder`, each plus `shift`, in bfloat16; `missing` ones are left out."""

    folder: str
    shift: float
    missing: tuple[str, ...] = ()

    def pack(self) -> Packed:
        return Packed({"folder": self.folder, "shift": self.shift, "missing": self.missing}, {})

    @classmethod
    def unpack(cls, packed: Packed) -> Self:
        raise NotImplementedError

    def express(self) -> dict[str, torch.Tensor]:
        state = weights(Path(self.folder))
        kept = {name: state[name] for name in state if name not in self.missing}
        return {name: (tensor + self.shift).bfloat16() for name, tensor in kept.items()}
