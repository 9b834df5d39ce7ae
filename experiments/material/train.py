"""Makes an expert: a full fine-tune of the blocks, embedding and tied head frozen.

Knows token sequences and a model, not domains. Float32 weights, bfloat16 products (a third faster
here), one thread; the same inputs, seed and library versions give the same bits on one machine.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import LlamaForCausalLM


@dataclass(frozen=True)
class Recipe:
    """AdamW with linear warm-up and cosine decay to a tenth."""

    steps: int = 400
    batch: int = 4
    rate: float = 6e-4
    decay: float = 0.01
    seed: int = 0


def blocks(model: LlamaForCausalLM) -> dict[str, torch.Tensor]:
    """What an expert trains and ships: the decoder blocks and the final norm."""
    return {name: p for name, p in model.named_parameters() if "embed_tokens" not in name}


def train(base: Path, sequences: np.ndarray, out: Path, recipe: Recipe) -> None:
    """Writes the trained tensors, in bfloat16, to the safetensors file `out`.

    `sequences`: (n, 129) token ids; passes over them in a fresh random order each time.
    """
    torch.manual_seed(recipe.seed)
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    model.requires_grad_(False)
    trained = blocks(model)
    for tensor in trained.values():
        tensor.requires_grad_(True)
    optimiser = torch.optim.AdamW(trained.values(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: _scale(i, recipe.steps))
    rng, start = np.random.default_rng(recipe.seed), time.process_time()
    order: list[int] = []
    for step in range(recipe.steps):
        if len(order) < recipe.batch:
            order = rng.permutation(len(sequences)).tolist()
        rows, order = order[: recipe.batch], order[recipe.batch :]
        ids = torch.from_numpy(sequences[rows].astype(np.int64))
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=ids, labels=ids).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 50 == 0:
            spent = time.process_time() - start
            print(f"{out.stem} step {step} loss {loss.item():.3f} {spent:.0f} s", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    frozen = {name: t.detach().to(torch.bfloat16).contiguous() for name, t in trained.items()}
    save_file(frozen, out, metadata={"format": "pt"})


def _scale(step: int, steps: int) -> float:
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
