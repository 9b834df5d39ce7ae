"""Tensors as safetensors files in Hugging Face's layout: one file, or shards with an index.

Knows tensors and names, not what model they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def shard(sizes: Mapping[str, int], most: int) -> list[list[str]]:
    """The names of `sizes` (bytes) in order, cut so that each part has at most `most` bytes.

    A tensor larger than `most` is a part of its own.
    """
    parts: list[list[str]] = []
    room = 0
    for name, size in sizes.items():
        if not parts or size > room:
            parts.append([])
            room = most
        parts[-1].append(name)
        room -= size
    return parts


def write_tensors(folder: Path, tensors: Mapping[str, torch.Tensor], most: int) -> None:
    """Write `tensors` into `folder`, at most `most` bytes a file where a tensor allows it."""
    from safetensors.torch import save_file

    sizes = {name: tensor.numel() * tensor.element_size() for name, tensor in tensors.items()}
    parts = shard(sizes, most)
    files = ["model.safetensors"]
    if len(parts) > 1:
        files = [
            f"model-{i:05d}-of-{len(parts):05d}.safetensors" for i in range(1, len(parts) + 1)
        ]
        index = {
            "metadata": {"total_size": sum(sizes.values())},
            "weight_map": {name: file for file, part in zip(files, parts) for name in part},
        }
        text = json.dumps(index, indent=2, sort_keys=True) + "\n"
        (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    for file, part in zip(files, parts):
        save_file(
            {name: tensors[name].contiguous() for name in part},
            folder / file,
            metadata={"format": "pt"},  # transformers refuses a file without it
        )
