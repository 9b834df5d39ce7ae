"""Frozen token sequences for train, validation and test, disjoint by document and by content.

Knows documents and a tokenizer, not where the text comes from. A document belongs to one split,
drawn from its name's hash; no two kept sequences, of any split or domain, share 32 consecutive
tokens.
"""

import hashlib
from collections.abc import Mapping
from typing import Protocol

import numpy as np

N_TOKENS = 128  # scored tokens a sequence; one <s> stands before them
OVERLAP = 32
SIZES = {"test": 512, "validation": 256, "train": 4096}  # sequences a domain; order of the claim
SHARES = {"test": range(2), "validation": range(2, 4), "train": range(4, 10)}  # tenths of names


class Tokenizer(Protocol):
    """What is needed of a Hugging Face tokenizer."""

    bos_token_id: int

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...


def make(
    corpora: Mapping[str, Mapping[str, str]], tokenizer: Tokenizer, seed: int = 0
) -> dict[str, dict[str, np.ndarray]]:
    """Split -> domain -> (n_sequences, 129) uint16, in random order: any prefix is fair."""
    taken: set[int] = set()
    out: dict[str, dict[str, np.ndarray]] = {}
    for split, size in SIZES.items():
        out[split] = {}
        for domain, documents in corpora.items():
            rows = sequences(
                [text for name, text in documents.items() if split_of(domain, name) == split],
                tokenizer,
            )
            order = np.random.default_rng(seed).permutation(len(rows))
            kept = [i for i in order if _claim(rows[i], taken)][:size]
            out[split][domain] = rows[kept]
    return out


def split_of(domain: str, name: str) -> str:
    """The split that a document belongs to."""
    tenth = hashlib.sha256(f"{domain}/{name}".encode()).digest()[0] % 10
    return next(split for split, tenths in SHARES.items() if tenth in tenths)


def sequences(documents: list[str], tokenizer: Tokenizer) -> np.ndarray:
    """(n, 129) uint16: each document cut into whole runs of 128 tokens, <s> before each."""
    runs = []
    for text in documents:
        tokens = np.array(tokenizer.encode(text, add_special_tokens=False), np.uint16)
        n = len(tokens) // N_TOKENS
        runs.append(tokens[: n * N_TOKENS].reshape(n, N_TOKENS))
    body = np.concatenate(runs)
    return np.insert(body, 0, tokenizer.bos_token_id, axis=1)


def windows(row: np.ndarray) -> set[int]:
    """Hashes of every run of 32 consecutive tokens of a sequence (<s> left out)."""
    weights = np.random.default_rng(0).integers(1, 2**63, OVERLAP, dtype=np.uint64)
    runs = np.lib.stride_tricks.sliding_window_view(row[1:].astype(np.uint64), OVERLAP)
    return set((runs * weights).sum(1, dtype=np.uint64).tolist())  # wraps modulo 2^64


def _claim(row: np.ndarray, taken: set[int]) -> bool:
    found = windows(row)
    if found & taken:
        return False
    taken |= found
    return True
