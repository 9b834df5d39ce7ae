"""Passages of English Wikipedia as tokens for SmolLM2, in three splits that share no text.

    from experiments.material.wikipedia import wikipedia
    wikipedia("calibration")

Knows one file of the wheel of OpenAI's evals (1,000 passages, one in each row's "0"; the row's
others are its sentences shuffled) and the cut. Needs pip's index the first time (46 MB). The text
is under CC BY-SA 3.0 and GFDL: it is fetched, not shipped.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from evolve.errors import CheckpointError, ExperimentError
from experiments.material import cached, manifest, wheels
from experiments.material.splits import windows

PASSAGES = wheels.Member(
    "evals==3.0.1.post1",
    "0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78",
    "evals/registry/data/schelling_point/wikipedia_5.jsonl",
    "be1805cd801ba9c486a2919da8513cc36ca97d7c4f0c324d3be935d1a34c1b9f",
)
N_TOKENS = 512
SIZES = {"held_out": 48, "search": 96, "calibration": 96}  # sequences; order of the choice
SHORTEST = 64  # tokens; below lie coordinates, captions and lists
BOUNDARY = 0  # <|endoftext|>, which stood between the documents of SmolLM2's training
FILE = "tokens.safetensors"
CONTENT = (
    "d06dac8050834d5999b8145ce7f107cbd107f9819b8ebc7c9770a11a3aae2a3b"  # sha256 of the cut tokens
)


class Tokenizer(Protocol):
    """What is needed of a Hugging Face tokenizer."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...


def wikipedia(split: str) -> np.ndarray:
    """(n, 512) int64 for SmolLM2: whole passages, `<|endoftext|>` before each, the last one cut.

    `split`: calibration (96 sequences), search (96) or held_out (48, never for a search). Raises
    ExperimentError, and CheckpointError where the passages cannot be fetched.
    """
    from safetensors.numpy import load_file

    if split not in SIZES:
        raise ExperimentError(f"There is no split {split!r}; choose one of {', '.join(SIZES)}.")
    rows: np.ndarray = load_file(cached.folder(f"wikipedia-{CONTENT[:16]}", _write) / FILE)[split]
    return rows.astype(np.int64)


def _write(folder: Path) -> None:
    from safetensors.numpy import save_file
    from transformers import AutoTokenizer

    from experiments.material.smollm2 import smollm2

    tokenizer = AutoTokenizer.from_pretrained(smollm2())
    with tempfile.TemporaryDirectory(dir=folder) as fetched:
        lines = wheels.fetch(PASSAGES, Path(fetched)).read_text("utf-8").splitlines()
    save_file(cut((json.loads(line)["0"] for line in lines), tokenizer), folder / FILE)
    if (found := manifest.sha256(folder / FILE)) != CONTENT:
        raise CheckpointError(
            f"The tokens cut from {PASSAGES.path} have sha256 {found}, expected {CONTENT}: the "
            "tokenizer cuts otherwise; install the versions in constraints.txt."
        )


def cut(passages: Iterable[str], tokenizer: Tokenizer) -> dict[str, np.ndarray]:
    """Split -> (n, 512) uint16. Passages go by the hash of their text, each to one sequence.

    A passage that shares 32 consecutive tokens with one chosen before is left out.
    """
    texts = sorted({text.strip() for text in passages}, key=_order)
    runs = (tokenizer.encode(text, add_special_tokens=False) for text in texts)
    rows: list[list[int]] = []
    row: list[int] = []
    taken: set[int] = set()
    for run in runs:
        if len(run) < SHORTEST:
            continue
        whole = np.array([BOUNDARY, *run], np.uint16)
        if (found := windows(whole)) & taken:
            continue
        taken |= found
        row = [*row, *whole.tolist()]
        if len(row) >= N_TOKENS:
            rows.append(row[:N_TOKENS])
            row = []
    if len(rows) < sum(SIZES.values()):
        raise ExperimentError(
            f"The passages fill {len(rows)} sequences of {N_TOKENS} tokens, expected at least "
            f"{sum(SIZES.values())}."
        )
    ends = np.cumsum([0, *SIZES.values()])
    table = np.array(rows, np.uint16)
    return {split: table[i:j] for split, i, j in zip(SIZES, ends, ends[1:])}


def _order(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
