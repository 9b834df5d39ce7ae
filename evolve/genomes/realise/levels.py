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
from evolve.genomes.realise.cache import Flat, Span, built, opened
from evolve.streams import Stream, rng_for


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
    if method in (Method.DARE_TIES, Method.DARE_LINEAR):
        kind = f"random-{seed}"
    else:
        platform = f"{torch.__version__}-{torch.backends.cpu.get_cpu_capability()}"
        kind = f"{'outliers' if method is Method.BREADCRUMBS else 'magnitude'}-{platform}"
    file = flat.folder / f"{kind}.safetensors"
    built(file, lambda: (_rank(flat, method, seed, experts), {}))
    return _open_levels(file)


@lru_cache(maxsize=8)
def _open_levels(file: Path) -> Levels:
    found, _ = opened(file)
    n = sum(name.startswith("bytes.") for name in found)
    bytes_, norms, edges = (
        tuple(found[f"{part}.{i}"] for i in range(n)) for part in ("bytes", "norms", "edges")
    )
    return Levels(bytes_, norms, edges)


def _rank(
    flat: Flat, method: Method, seed: int, experts: tuple[str, ...]
) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for i, delta in enumerate(flat.deltas):
        level = torch.zeros(len(delta), dtype=torch.uint8)
        norms, edges = [], []
        for span in flat.spans:
            part, into = delta[span.start : span.stop], level[span.start : span.stop]
            if span.name not in flat.moved[i]:
                into.fill_(0)
                norms.append(torch.zeros(GRID + 1, dtype=torch.float64))
                edges.append(torch.full((2, GRID + 1), -1))
            elif method is Method.BREADCRUMBS:
                descending = torch.sort(part.abs()).indices.flip(0)  # as mergekit's outliers
                into[descending] = rank_levels(len(part))
                edges.append(_edges(descending, span))
            elif method in (Method.DARE_TIES, Method.DARE_LINEAR):
                into.copy_(random_levels(seed, f"{experts[i]} {span.name}", len(part)))
                norms.append(_norms(part, into))
            else:
                descending = torch.argsort(part.abs(), descending=True)  # as mergekit's magnitude
                into[descending] = rank_levels(len(part))
                into[descending[0]] = 0  # mergekit keeps at least one
        found[f"bytes.{i}"] = level
        found[f"norms.{i}"] = torch.stack(norms) if norms else torch.zeros(0)
        found[f"edges.{i}"] = torch.stack(edges) if edges else torch.zeros(0)
    return found


def rank_levels(n: int) -> torch.Tensor:
    """(n,) uint8: level of ranks 0 .. n-1; rank r is kept at g when r < floor(g n / 256)."""
    ranks = torch.arange(1, n + 1, dtype=torch.int64)
    return ((GRID * ranks + n - 1) // n - 1).to(torch.uint8)  # ceil(256 (r+1) / n) <= g


def random_levels(seed: int, key: str, n: int) -> torch.Tensor:
    """(n,) uint8, uniform, from the stream of `seed` that the text `key` names."""
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "little")
    drawn = rng_for(seed, number, Stream.EVALUATE).integers(0, GRID, n, dtype=np.uint8)
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
