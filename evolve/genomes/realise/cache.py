"""Flat float32 task vectors on disk, memory-mapped by every worker.

Knows no merge method. One file holds, for the tensors that any expert changed, the base and
each expert's delta end to end in model order (`Flat`), in a folder named by their digests.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch

from evolve.genomes.checkpoint import Source
from evolve.genomes.preflight import DELTAS, merge_folder
from evolve.genomes.realise.files import Blank, built, opened, written


class Span(NamedTuple):
    """Where a tensor lies in the flat arrays: elements start to stop."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Flat:
    """The changed part of base and experts, read-only: never write into these tensors.

    `base` and each of `deltas`: (m,) float32; `moved[i]`: names that expert i changed.
    """

    base: torch.Tensor
    deltas: tuple[torch.Tensor, ...]
    spans: tuple[Span, ...]
    moved: tuple[frozenset[str], ...]
    folder: Path


def flat_of(base: Source, experts: tuple[Source, ...], names: tuple[str, ...]) -> Flat:
    """The task vectors of `experts`, delta = expert - base in float32 (mergekit's order).

    `names`: floating tensors that all have, in model order (one order for all spaces). Built on
    first use, 4 (1 + n_experts) bytes an element on disk.
    """
    folder = merge_folder(base, experts)
    built(folder / DELTAS, lambda file: _subtract(file, base, experts, names))
    return _open_flat(folder)


@lru_cache(maxsize=8)
def _open_flat(folder: Path) -> Flat:
    tensors, told = opened(folder / DELTAS)
    moved = json.loads(told["moved"])
    return Flat(
        tensors["base"],
        tuple(tensors[f"delta.{i}"] for i in range(len(moved))),
        tuple(Span(*span) for span in json.loads(told["spans"])),
        tuple(frozenset(names) for names in moved),
        folder,
    )


def _subtract(
    file: Path, base: Source, experts: tuple[Source, ...], names: tuple[str, ...]
) -> None:
    moved: list[set[str]] = []
    for expert in experts:
        pairs = zip(base.tensors(names), expert.tensors(names))
        moved.append(
            {name for (name, b), (_, e) in pairs if not torch.equal(b.float(), e.float())}
        )
    spans, stop = [], 0
    for name in names:
        if any(name in changed for changed in moved):
            spans.append(Span(name, stop, stop + base.entries[name].size))
            stop = spans[-1].stop
    blanks = {name: Blank("F32", (stop,)) for name in ("base", *deltas_of(experts))}
    facts = {"spans": json.dumps(spans), "moved": json.dumps([sorted(names) for names in moved])}
    with written(file, blanks, facts) as into:
        kept = [span.name for span in spans]
        for span, (_, tensor) in zip(spans, base.tensors(kept)):
            into["base"][span.start : span.stop] = tensor.flatten()
        for expert, delta in zip(experts, deltas_of(experts)):
            for span, (_, tensor) in zip(spans, expert.tensors(kept)):
                part = into[delta][span.start : span.stop]
                part.copy_(tensor.flatten()).sub_(into["base"][span.start : span.stop])


def deltas_of(experts: tuple[Source, ...]) -> list[str]:
    """What the experts' task vectors are called in the file."""
    return [f"delta.{i}" for i in range(len(experts))]
