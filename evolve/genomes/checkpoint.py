"""Local checkpoints in safetensors: what they hold, told from headers, and their digest.

Knows no architecture and no merge. Reads the header of a safetensors file itself (8 bytes of
length, then JSON; https://huggingface.co/docs/safetensors) so that looking costs no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from evolve.errors import CheckpointError

if TYPE_CHECKING:
    import torch

ITEMSIZE = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_ADAPTER = "adapter_config.json"
_WANTED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")


class Entry(NamedTuple):
    """One tensor as a header tells it; `dtype` in safetensors' words (`BF16`)."""

    dtype: str
    shape: tuple[int, ...]
    file: Path

    @property
    def size(self) -> int:
        """How many elements."""
        return prod(self.shape)


def cache_dir() -> Path:
    """Where derived data lives: `$EVOLVE_CACHE`, else `~/.cache/evolve`."""
    return Path(os.environ.get("EVOLVE_CACHE", Path.home() / ".cache" / "evolve"))


@dataclass(frozen=True)
class Source:
    """A model to merge: a checkpoint directory, or a PEFT LoRA directory on top of the base.

    `weights` is where the full tensors are: `path` itself, or for an adapter the directory
    that `evolve.genomes.lora.merged` fills. `digest` is sha256 (hex) over the config and the
    safetensors files, for an adapter also over its base's digest.
    """

    path: Path
    digest: str
    weights: Path

    @classmethod
    def of(cls, path: str | Path, base: Source | None = None) -> Self:
        """The source at `path`, a local directory or a hub id. An adapter needs its `base`.

        Hashes every file once per (path, size, modification time). Raises `CheckpointError`.
        """
        folder = local(path)
        if not is_adapter(folder):
            read_config(folder)
            digest = _digest([folder / "config.json", *weight_files(folder)])
            return cls(folder, digest, folder)
        if base is None:
            raise CheckpointError(
                f"{folder} is a LoRA adapter, not a full checkpoint; give a full base model and "
                "name the adapter among the experts."
            )
        files = [folder / _ADAPTER, folder / "adapter_model.safetensors"]
        digest = hashlib.sha256(f"{base.digest} {_digest(files)}".encode()).hexdigest()
        return cls(folder, digest, cache_dir() / "lora" / digest)

    @property
    def name(self) -> str:
        """The directory's name, for people."""
        return self.path.name

    @property
    def adapter(self) -> bool:
        """Whether `path` is a LoRA adapter."""
        return self.weights != self.path

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """Every stored tensor by name, from the headers alone."""
        return read_entries(self.weights)

    def tensors(self, names: Iterable[str]) -> Iterator[tuple[str, torch.Tensor]]:
        """The tensors called `names`, memory-mapped: pages are shared, writes stay private."""
        from safetensors import safe_open

        with ExitStack() as stack:
            opened: dict[Path, Any] = {}
            for name in names:
                file = self.entries[name].file
                if file not in opened:
                    opened[file] = stack.enter_context(safe_open(file, framework="pt"))
                yield name, opened[file].get_tensor(name)


def local(path: str | Path) -> Path:
    """`path` as an absolute directory; a hub id is fetched. Raises `CheckpointError`."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder.resolve()
    name = str(path)
    if isinstance(path, Path) or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(
            f"There is no checkpoint directory {folder}; give an existing directory with "
            "config.json and *.safetensors, or a hub id such as 'org/name'."
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(_WANTED))).resolve()
    except (OSError, ValueError) as error:  # the hub's own errors are kinds of these two
        raise CheckpointError(
            f"{name!r} is neither a local directory nor a model that the hub gives "
            f"({type(error).__name__}: {str(error).splitlines()[0]}); check the spelling, go "
            "online, or pass the path of a downloaded copy."
        ) from error


def is_adapter(folder: Path) -> bool:
    """Whether `folder` holds a PEFT adapter."""
    return (folder / _ADAPTER).is_file()


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of `folder`. Raises `CheckpointError`."""
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{file} cannot be read ({error}); {folder} must be a Hugging Face checkpoint "
            "directory as save_pretrained writes it."
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{file} holds no JSON object; write the model anew.")
    return config


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of `folder`, in name order. Raises `CheckpointError` if none."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError) as error:
            raise CheckpointError(f"{index} is damaged ({error!r}); fetch it again.") from error
        files = [folder / name for name in sorted(names)]
    else:
        files = sorted(folder.glob("*.safetensors"))
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        raise CheckpointError(
            f"{folder} lacks {', '.join(missing) or 'any *.safetensors file'}; fetch it, or "
            "convert the weights with save_pretrained, which writes safetensors."
        )
    return files


def read_entries(folder: Path) -> dict[str, Entry]:
    """Every tensor of the checkpoint in `folder` by name, read from headers."""
    entries: dict[str, Entry] = {}
    for file in weight_files(folder):
        for name, entry in _header(file).items():
            if name != "__metadata__":
                entries[name] = Entry(entry["dtype"], tuple(entry["shape"]), file)
    return entries


def _header(file: Path) -> dict[str, Any]:
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header: dict[str, Any] = json.loads(stream.read(min(length, size)))
        ends = [e["data_offsets"][1] for n, e in header.items() if n != "__metadata__"]
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file} is no safetensors file; fetch it again.") from error
    if max(ends, default=0) != size - 8 - length:
        raise CheckpointError(
            f"{file} has {size - 8 - length:,} bytes of tensors, its header promises "
            f"{max(ends, default=0):,}: it is truncated or damaged; fetch it again."
        )
    return header


def _digest(files: Iterable[Path]) -> str:
    content = hashlib.sha256()
    for file in files:
        content.update(f"{file.name} {file_sha256(file)}".encode())
    return content.hexdigest()


def file_sha256(file: Path) -> str:
    """sha256 (hex) of `file`, read once per (path, size, modification time).

    Raises `CheckpointError`.
    """
    try:
        stat = file.stat()
        return _sha256(file, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise CheckpointError(
            f"{file} cannot be read ({error.strerror}); make it readable, or fetch it again."
        ) from error


@lru_cache(maxsize=4096)
def _sha256(file: Path, size: int, changed: int) -> str:
    """sha256 of `file`, remembered on disk by its path, size and modification time (ns).

    The note only saves time: where it cannot be read or written the file is hashed again.
    """
    key = hashlib.sha256(f"{file} {size} {changed}".encode()).hexdigest()
    note = cache_dir() / "sha256" / key
    with suppress(OSError, ValueError):
        if len(known := note.read_text(encoding="ascii")) == 64:
            return known
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        scratch = note.with_name(f"{key}.{os.getpid()}")
        scratch.write_text(found, encoding="ascii")
        scratch.replace(note)
    return found
