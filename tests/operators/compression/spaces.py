"""Profile spaces of small random Llamas; their grids have no database, so nothing is packed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import torch

from evolve.genomes.compression.anatomy import Anatomy
from evolve.genomes.compression.budget import (
    Budget,
    file_bytes,
    kept_weights,
    latency,
    weight_bits,
)
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ProfileSpace, ZeroGrid
from evolve.score import Record, Score

BITS = BitGrid((2, 3, 4, 6), 16)  # its last step is twice as dear
ZEROS = ZeroGrid(0.5, reach=3)
N_BLOCKS = 4


@cache
def llama(heads: int = 2) -> Path:
    """Four blocks of width 32, `heads` of 4 key-value heads; with one, 3-bit rows are padded."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64 if heads > 1 else 48,
        num_hidden_layers=N_BLOCKS,
        num_attention_heads=4,
        num_key_value_heads=heads,
        max_position_embeddings=32,
    )
    folder = Path(mkdtemp()) / "llama"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


@cache
def space(
    grid: BitGrid | ZeroGrid | None = None,
    *,
    depth: bool = True,
    tied: bool = True,
    heads: int = 2,
) -> ProfileSpace:
    return ProfileSpace(Anatomy.of(llama(heads)), None, grid, depth, tied, None)


def budgets() -> list[Budget]:
    """One of every kind: bytes, bits, kept weights, latency, removals, and both."""
    found = []
    for tied, heads in ((True, 2), (False, 1)):
        bits = space(BITS, tied=tied, heads=heads)
        uniform = CompressionProfile.uniform(bits, bits=3)
        size = file_bytes(bits)
        found.append(Budget(bits, size, size.of(uniform)))
        found.append(Budget(bits, size, size.of(uniform) - 999, removed=(1, 2)))
        still = space(BITS, depth=False, tied=tied, heads=heads)
        found.append(Budget(still, weight_bits(still), weight_bits(still).of(uniform)))
        zeros = space(ZEROS, tied=tied, heads=heads)
        kept = kept_weights(zeros)
        half = kept.of(CompressionProfile.uniform(zeros))
        found.append(Budget(zeros, kept, half, removed=(0, 0)))
        found.append(Budget(zeros, kept, half * 3 // 4, removed=(1, 1)))
        table = {
            (linear.name, level.name): 1e-9 * (i * 7 % 13 + len(level.name) + 11 * j)
            for i, unit in enumerate(bits.units)
            for j, at in enumerate(unit.levels)
            for linear, level in zip(unit.linears, at)
        }
        time = latency(bits, table, 1e-8)
        found.append(Budget(bits, time, time.of(uniform)))
    depth = space()
    size = file_bytes(depth)
    found.append(Budget(depth, removed=(1, 2)))
    found.append(Budget(depth, size, size.of(CompressionProfile.dense(depth)) * 4 // 5))
    return found


def descending() -> Budget:
    """A latency table whose every step up saves a nanosecond: 10, 9, 8 and 7; a limit between."""
    bits = space(BITS, depth=False)
    first = {unit.linears[0].name for unit in bits.units}  # the tied ones take no time
    table = {
        (linear.name, level.name): (10 - i) * 1e-9 * (linear.name in first)
        for unit in bits.units
        for i, at in enumerate(unit.levels)
        for linear, level in zip(unit.linears, at)
    }
    time = latency(bits, table, 0.0)
    assert set(time.units) == {(10, 9, 8, 7)}
    return Budget(bits, time, 8 * len(bits.units))


def parent(profile: CompressionProfile, birth: int = 0) -> Record[CompressionProfile]:
    """A scored record; its digest is not looked at."""
    return Record(birth, profile, str(birth), Score((0.0,)))


def same(one: CompressionProfile, other: CompressionProfile) -> bool:
    return all(
        np.array_equal(a, b)
        for a, b in (
            (one.levels, other.levels),
            (one.attention, other.attention),
            (one.mlp, other.mlp),
        )
    )
