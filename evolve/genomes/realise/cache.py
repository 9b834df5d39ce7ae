"""Flat float32 task vectors and one-byte levels on disk, memory-mapped by every worker.

Knows no merge method. One file holds, for the tensors that any expert changed, the base and
each expert's delta end to end in model order (`Flat`); another the levels of one kind. Files
are named by the digests of what they come from, built once under a lock, renamed into place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch

from evolve.errors import CheckpointError
from evolve.genomes.checkpoint import Source
from evolve.genomes.preflight import merge_folder


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

    `names`: floating tensors that all have, in model order (one order for all spaces). Built on first use, about
    4 (1 + n_experts) bytes an element on disk.
    """
    folder = merge_folder(base, experts)
    built(folder / "deltas.safetensors", lambda: _subtract(base, experts, names))
    return _open_flat(folder)


@lru_cache(maxsize=8)
def _open_flat(folder: Path) -> Flat:
    tensors, told = opened(folder / "deltas.safetensors")
    moved = json.loads(told["moved"])
    return Flat(
        tensors["base"],
        tuple(tensors[f"delta.{i}"] for i in range(len(moved))),
        tuple(Span(*span) for span in json.loads(told["spans"])),
        tuple(frozenset(names) for names in moved),
        folder,
    )


def _subtract(
    base: Source, experts: tuple[Source, ...], names: tuple[str, ...]
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
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
    kept = [span.name for span in spans]
    flat = torch.cat([torch.zeros(0)] + [t.float().flatten() for _, t in base.tensors(kept)])
    tensors = {"base": flat}
    for i, expert in enumerate(experts):
        whole = [t.float().flatten() for _, t in expert.tensors(kept)]
        tensors[f"delta.{i}"] = torch.cat([torch.zeros(0), *whole]).sub_(flat)
    facts = {"spans": json.dumps(spans), "moved": json.dumps([sorted(names) for names in moved])}
    return tensors, facts


def built(
    file: Path,
    build: Callable[[], tuple[dict[str, torch.Tensor], dict[str, str]]],
) -> None:
    """Makes sure that `file` exists: one process builds and renames it, the others wait."""
    if file.is_file():
        return
    from filelock import FileLock
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        if file.is_file():
            return
        scratch = file.with_suffix(f".{os.getpid()}")
        try:
            tensors, facts = build()
            save_file(tensors, scratch, facts)
            scratch.replace(file)
        except OSError as error:
            raise CheckpointError(
                f"{file} cannot be written ({error}); free some disk, or set EVOLVE_CACHE to "
                "a larger one."
            ) from error
        finally:
            scratch.unlink(missing_ok=True)


def opened(file: Path) -> tuple[dict[str, torch.Tensor], Mapping[str, str]]:
    """Tensors and metadata of `file`, memory-mapped."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as stream:
        names = list(stream.keys())
        return {name: stream.get_tensor(name) for name in names}, stream.metadata() or {}
