"""Calibration tokens: from a text, by the model's own tokenizer, or from a file of tokens.

Knows no model beyond its folder.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evolve.errors import GenomeError
from evolve.genomes.checkpoint import read_config

TENSORS = (".npy", ".safetensors")


def tokens_of(file: Path, model: Path, sequences: int, length: int) -> np.ndarray:
    """(`sequences`, `length`) int64, read-only, that the model in the folder `model` knows.

    `file`: a text, of which evenly spaced stretches are taken, without special tokens; or an
    .npy or .safetensors file of (n, l) integers with n >= `sequences` and l >= `length`, of which
    the first are. Raises `GenomeError` if there is too little, or a token is unknown.
    """
    if sequences < 1 or length < 2:
        raise GenomeError(
            f"{sequences} sequences of {length} tokens were asked for; give 1 or more of 2 or "
            "more."
        )
    if not file.is_file():
        raise GenomeError(f"There is no file {file}; give a text, or an .npy of tokens.")
    if file.suffix in TENSORS:
        found = _cut(_read(file), file, sequences, length)
    else:
        found = _spaced(_encoded(file, model), file, sequences, length)
    tokens: np.ndarray = found.astype(np.int64)
    config = read_config(model)
    # Where a config states none (a nested one, say), there is no limit.
    vocabulary = int(config.get("vocab_size") or 2**31)
    context = int(config.get("max_position_embeddings") or config.get("n_positions") or 2**31)
    if tokens.min() < 0 or tokens.max() >= vocabulary:
        raise GenomeError(
            f"{file} has tokens from {tokens.min()} to {tokens.max()}, the model {model.name} "
            f"knows 0 to {vocabulary - 1}; use this model's tokenizer."
        )
    if length > context:
        raise GenomeError(
            f"Sequences of {length} tokens were asked for, the model {model.name} reads "
            f"{context}; give at most that length."
        )
    tokens.setflags(write=False)
    return tokens


def _encoded(file: Path, model: Path) -> np.ndarray:
    from transformers import AutoTokenizer

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise GenomeError(f"{file} cannot be read as UTF-8 text ({error}).") from error
    try:
        encode = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise GenomeError(
            f"{model} has no tokenizer that transformers reads "
            f"({str(error).splitlines()[0]}); give a file of tokens (.npy) instead of a text."
        ) from error
    return np.array(encode(text, add_special_tokens=False, verbose=False)["input_ids"], np.int64)


def _spaced(stream: np.ndarray, file: Path, sequences: int, length: int) -> np.ndarray:
    n_blocks = len(stream) // length
    if n_blocks < sequences:
        raise GenomeError(
            f"{file} is {len(stream):,} tokens, {sequences} sequences of {length} are "
            f"{sequences * length:,}; give a longer text, or fewer or shorter sequences."
        )
    blocks = stream[: n_blocks * length].reshape(n_blocks, length)
    spaced: np.ndarray = blocks[np.arange(sequences) * n_blocks // sequences]
    return spaced


def _read(file: Path) -> np.ndarray:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        if file.suffix == ".npy":
            return np.asarray(np.load(file, allow_pickle=False))
        tensors = load_file(file)
    except (OSError, ValueError, SafetensorError) as error:
        raise GenomeError(f"{file} cannot be read ({error}); write it again.") from error
    if len(tensors) != 1:
        raise GenomeError(
            f"{file} holds {len(tensors)} tensors ({', '.join(sorted(tensors)[:4])}); give one "
            "with a single (n, length) tensor of tokens."
        )
    return np.asarray(next(iter(tensors.values())))


def _cut(array: np.ndarray, file: Path, sequences: int, length: int) -> np.ndarray:
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        raise GenomeError(
            f"{file} holds {array.shape} {array.dtype}; give (n, length) integers of tokens."
        )
    if array.shape[0] < sequences or array.shape[1] < length:
        raise GenomeError(
            f"{file} holds {array.shape[0]} sequences of {array.shape[1]} tokens, {sequences} "
            f"of {length} were asked for; give more, or ask for less."
        )
    return array[:sequences, :length]
