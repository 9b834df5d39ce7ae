"""One byte an element that answers: is it kept at density g/256? Knows no merge algebra.

An element of level v is kept at g when v < g. By magnitude, v comes from the element's rank in
mergekit's ordering and its rounding down of g n / 256, so that its choice is met exactly, equal
magnitudes included (they abound in bfloat16; the order among them is that of an unstable sort,
so levels are named by torch version and CPU capability). At random, v is a uniform byte: masks
of one seed are nested, and a density is met on average.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from evolve.genomes.methods import GRID, Method
from evolve.genomes.realise.cache import Flat, Span
from evolve.genomes.realise.files import Blank, built, opened, written
from evolve.streams import Stream, rng_for

_RANDOM = (Method.DARE_TIES, Method.DARE_LINEAR)


@dataclass(frozen=True)
class Levels:
    """Of every expert's delta. Read-only.

    `bytes[i]`: (m,) uint8. `norms[i]`: (n_spans, 257) float64, the L1 norm of what density g/256
    keeps of each tensor (random levels only, else empty). `edges[i]`: (n_spans, 2, 257) int64,
    flat indices of the last element that g keeps and the first that it drops, -1 where there is
    none (outlier levels only, else empty).
    """

    bytes: tuple[torch.Tensor, ...]
    norms: tuple[torch.Tensor, ...]
    edges: tuple[torch.Tensor, ...]


def levels_of(flat: Flat, method: Method, seed: int, experts: tuple[str, ...]) -> Levels:
    """The levels that `method` needs; `seed` and the `experts`' digests key random ones."""
    if method in _RANDOM:
        kind = f"random-{seed}"
    else:
        platform = f"{torch.__version__}-{torch.backends.cpu.get_cpu_capability()}"
        kind = f"{'outliers' if method is Method.BREADCRUMBS else 'magnitude'}-{platform}"
    file = flat.folder / f"{kind}.safetensors"
    built(file, lambda scratch: _rank(scratch, flat, method, seed, experts))
    return _open_levels(file)


@lru_cache(maxsize=8)
def _open_levels(file: Path) -> Levels:
    found, _ = opened(file)
    n = sum(name.startswith("bytes.") for name in found)
    bytes_, norms, edges = (
        tuple(found[f"{part}.{i}"] for i in range(n)) for part in ("bytes", "norms", "edges")
    )
    return Levels(bytes_, norms, edges)


def _rank(file: Path, flat: Flat, method: Method, seed: int, experts: tuple[str, ...]) -> None:
    tables = {"norms": Blank("F64", (0,)), "edges": Blank("I64", (0,))}
    if method in _RANDOM:
        tables["norms"] = Blank("F64", (len(flat.spans), GRID + 1))
    elif method is Method.BREADCRUMBS:
        tables["edges"] = Blank("I64", (len(flat.spans), 2, GRID + 1))
    tables["bytes"] = Blank("U8", (len(flat.base),))
    blanks = {f"{part}.{i}": b for part, b in tables.items() for i in range(len(flat.deltas))}
    with written(file, blanks, {}) as into:
        for i, delta in enumerate(flat.deltas):
            level, norms, edges = (into[f"{part}.{i}"] for part in ("bytes", "norms", "edges"))
            for j, span in enumerate(flat.spans):
                part, levels = delta[span.start : span.stop], level[span.start : span.stop]
                if span.name not in flat.moved[i]:
                    continue
                if method in _RANDOM:
                    levels.copy_(random_levels(seed, f"{experts[i]} {span.name}", len(part)))
                    norms[j] = _norms(part, levels)
                elif method is Method.BREADCRUMBS:
                    descending = torch.sort(part.abs()).indices.flip(0)  # as mergekit's outliers
                    levels[descending] = rank_levels(len(part))
                    edges[j] = _edges(descending, span)
                else:
                    descending = torch.argsort(part.abs(), descending=True)  # as its magnitude
                    levels[descending] = rank_levels(len(part))
                    levels[descending[0]] = 0  # mergekit keeps at least one


def rank_levels(n: int) -> torch.Tensor:
    """(n,) uint8: level of ranks 0 .. n-1; rank r is kept at g when r < floor(g n / 256)."""
    ranks = torch.arange(1, n + 1, dtype=torch.int64)
    return ((GRID * ranks + n - 1) // n - 1).to(torch.uint8)  # ceil(256 (r+1) / n) <= g


def random_levels(seed: int, key: str, n: int) -> torch.Tensor:
    """(n,) uint8, uniform, from the stream of `seed` that the text `key` names."""
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "little")
    drawn = rng_for(seed, number, Stream.MASK).integers(0, GRID, n, dtype=np.uint8)
    return torch.from_numpy(drawn)


def kept_at(g: int, n: int) -> int:
    """floor(g n / 256), mergekit's number of kept elements at density g/256."""
    return g * n // GRID


def _norms(part: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    each = torch.bincount(level.int(), weights=part.abs().double(), minlength=GRID)
    return torch.cat([torch.zeros(1, dtype=torch.float64), each.cumsum(0)])


def _edges(descending: torch.Tensor, span: Span) -> torch.Tensor:
    n = len(descending)
    kept = torch.arange(GRID + 1) * n // GRID
    places = torch.stack([kept - 1, kept])
    there = (places >= 0) & (places < n)
    return torch.where(there, descending[places.clamp(0, n - 1)] + span.start, -1)
