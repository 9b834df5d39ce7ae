"""Real models and text, shipped and pinned: stories15M, three experts, three domains.

    from experiments import material
    material.base(), material.experts(), material.texts("validation")

Knows the shipped files, not how they were made (`make.py`) or what they are good for. Needs no
network; `smollm2.py` and `wikipedia.py`, which do the first time, stand beside.
"""

from pathlib import Path

import numpy as np

from evolve.errors import ExperimentError
from experiments.material.manifest import verified

DOMAINS = ("king_james", "python_docs", "python_source")
SPLITS = ("train", "validation", "test")
BASE_FILES = tuple(
    f"base/{name}"
    for name in (
        "model.safetensors",
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "README.md",
    )
)


def base() -> Path:
    """The Hugging Face directory of stories15M, checked against its pins."""
    return verified(BASE_FILES)[0].parent


def experts() -> dict[str, Path]:
    """Domain -> Hugging Face directory of its expert, assembled in the cache at first use."""
    from experiments.material.assemble import expert

    return {domain: expert(domain, BASE_FILES) for domain in DOMAINS}


def texts(split: str) -> dict[str, np.ndarray]:
    """Domain -> (n_sequences, 129) int64: <s> and 128 tokens to predict, in random order.

    `split`: train, validation or test (sealed: for the last table only). Raises ExperimentError.
    """
    from safetensors.numpy import load_file

    if split not in SPLITS:
        raise ExperimentError(f"There is no split {split!r}; choose one of {', '.join(SPLITS)}.")
    stored = load_file(verified([f"texts/{split}.safetensors"])[0])
    return {domain: stored[domain].astype(np.int64) for domain in DOMAINS}
