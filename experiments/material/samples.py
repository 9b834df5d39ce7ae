"""What stories15M writes itself: sequences drawn at temperature 1, shipped and pinned.

    from experiments.material.samples import samples
    samples("calibration")

The model's own distribution, so its loss on them is its entropy. Knows sampling, not what the
samples are for. Each split has a seed of its own; a prompt is `<s>` alone, and where the model
ends a story with another `<s>` it begins a new one.
"""

from pathlib import Path

import numpy as np

from evolve.errors import ExperimentError
from experiments.material.manifest import verified

N_TOKENS = 256  # the model's context, <s> included
SIZES = {"calibration": 64, "search": 96, "held_out": 64}  # sequences; a split's seed is its place
FILE = "texts/samples.safetensors"
BATCH = 32
BOS = 1


def samples(split: str) -> np.ndarray:
    """(n, 256) int64: `<s>` and 255 tokens to predict. Raises ExperimentError.

    `split`: calibration (64 sequences), search (96) or held_out (64, never for a search).
    """
    from safetensors.numpy import load_file

    if split not in SIZES:
        raise ExperimentError(f"There is no split {split!r}; choose one of {', '.join(SIZES)}.")
    rows: np.ndarray = load_file(verified([FILE])[0])[split]
    return rows.astype(np.int64)


def draw(model: Path, n: int, seed: int) -> np.ndarray:
    """(n, 256) uint16 drawn from the model at the directory `model`, float32, one thread.

    About 0.6 CPU seconds a sequence. Same seed, same tokens on one machine and torch version.
    """
    import torch
    from transformers import LlamaForCausalLM

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    writer = LlamaForCausalLM.from_pretrained(model, dtype=torch.float32)

    def batch(size: int) -> torch.Tensor:
        tokens, cache = [torch.full((size, 1), BOS)], None
        with torch.inference_mode():
            for _ in range(N_TOKENS - 1):
                found = writer(input_ids=tokens[-1], past_key_values=cache, use_cache=True)
                cache = found.past_key_values
                chances = found.logits[:, -1].softmax(-1)
                tokens.append(torch.multinomial(chances, 1, generator=generator))
        return torch.cat(tokens, 1)

    rows = torch.cat([batch(min(BATCH, n - start)) for start in range(0, n, BATCH)])
    return rows.numpy().astype(np.uint16)


def write(model: Path, out: Path) -> None:
    """Draws every split and writes them to the safetensors file `out`."""
    from safetensors.numpy import save_file

    drawn = {split: draw(model, n, seed) for seed, (split, n) in enumerate(SIZES.items())}
    save_file(drawn, out)
