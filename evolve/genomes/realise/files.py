"""Files built once by whoever comes first, and mapped by all. Knows nothing of what they hold.

A file is built under a lock and a temporary name, then renamed. It is filled through a shared
mapping, so that building takes the memory of one tensor, on disk blocks that are reserved
before, as a disk that fills up under a mapping kills the process.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from evolve.errors import CheckpointError

_NUMPY = {"I64": np.int64, "F64": np.float64, "F32": np.float32, "U8": np.uint8}


class Blank(NamedTuple):
    """A tensor to be filled; `dtype` in safetensors' words: I64, F64, F32 or U8."""

    dtype: str
    shape: tuple[int, ...]


def built(file: Path, build: Callable[[Path], None]) -> None:
    """Makes sure that `file` exists: one process has it built and renames it, the others wait.

    Raises `CheckpointError` if it cannot be written.
    """
    if file.is_file():
        return
    from filelock import FileLock

    scratch = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            if not file.is_file():
                for left in _scratches(file):  # of processes that were killed while building
                    left.unlink(missing_ok=True)
                build(scratch)
                scratch.replace(file)
    except OSError as error:
        raise CheckpointError(
            f"{file} cannot be written ({error}); free some disk, or set EVOLVE_CACHE to a "
            "folder on a larger one."
        ) from error
    finally:
        scratch.unlink(missing_ok=True)


def _scratches(file: Path) -> list[Path]:
    """What any process builds, or built, `file` under: its name with a process id as suffix."""
    found = file.parent.iterdir()
    return [p for p in found if p.stem == file.stem and p.suffix[1:].isdecimal()]


@contextmanager
def written(
    file: Path, blanks: Mapping[str, Blank], facts: Mapping[str, str]
) -> Iterator[dict[str, torch.Tensor]]:
    """Writable tensors, zero at first, that are in the safetensors `file` on leaving."""
    order = sorted(blanks, key=lambda name: -np.dtype(_NUMPY[blanks[name].dtype]).itemsize)
    header: dict[str, object] = {"__metadata__": dict(facts)}
    stop = 0
    for name in order:  # widest first keeps every tensor aligned
        dtype, shape = blanks[name]
        start, stop = stop, stop + prod(shape) * np.dtype(_NUMPY[dtype]).itemsize
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": (start, stop)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        if sys.platform == "linux" and stop:
            os.posix_fallocate(stream.fileno(), stream.tell(), stop)
        stream.truncate(8 + len(text) + stop)
    maps: dict[str, np.ndarray] = {}
    offset = 8 + len(text)
    for name in order:
        dtype, shape = blanks[name]
        maps[name] = np.zeros(shape, _NUMPY[dtype])
        if prod(shape):
            maps[name] = np.memmap(file, _NUMPY[dtype], "r+", offset, shape)
        offset += maps[name].nbytes
    yield {name: torch.from_numpy(array) for name, array in maps.items()}
    for array in maps.values():
        if isinstance(array, np.memmap):
            array.flush()
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def opened(file: Path) -> tuple[dict[str, torch.Tensor], Mapping[str, str]]:
    """Tensors and metadata of `file`, memory-mapped."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as stream:
        names = list(stream.keys())
        return {name: stream.get_tensor(name) for name in names}, stream.metadata() or {}
