"""LoRA experts (PEFT directories) merged once into full float32 checkpoints.

Knows no merge method. The arithmetic is PEFT's `merge_and_unload` (Hu et al. 2022, eq. 3:
W + scaling * B A), on a base loaded in float32.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evolve.errors import CheckpointError
from evolve.genomes.calm import no_progress_bars, untouched_random_state
from evolve.genomes.checkpoint import Source

_TOKENIZER = ("tokenizer*", "*.model", "vocab.json", "merges.txt", "special_tokens_map.json")


def source_of(path: str | Path, base: Source | None) -> Source:
    """The source at `path`; an adapter is merged into `base`, unless that was done before."""
    source = Source.of(path, base)
    if source.adapter and base is not None:
        merge_adapter(source, base)
    return source


def merge_adapter(adapter: Source, base: Source) -> Path:
    """The directory `adapter.weights`, filled by merging the adapter into `base` if it is not.

    Several processes may call this at once: one merges, the others wait. Written under a
    temporary name and renamed. Raises `CheckpointError` if the adapter does not fit the base,
    or cannot be read, or the merged model cannot be written.
    """
    from filelock import FileLock
    from safetensors import SafetensorError  # a disk that fills up while tensors are saved

    done = adapter.weights / "config.json"
    if done.is_file():
        return adapter.weights
    scratch = adapter.weights.with_suffix(".part")
    try:
        scratch.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(adapter.weights.with_suffix(".lock")):
            if not done.is_file():
                shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
                try:
                    _merge(adapter.path, base.weights, scratch)
                    scratch.rename(adapter.weights)
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"The adapter {adapter.path} cannot be merged into {adapter.weights} ({error}), which "
            "takes 4 bytes a parameter of its base; free some disk, or set EVOLVE_CACHE to a "
            "writable folder on a larger one."
        ) from error
    return adapter.weights


def _merge(adapter: Path, base: Path, to: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with untouched_random_state(), _quiet():
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        try:
            merged = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"The adapter {adapter} does not fit the base {base} "
                f"({str(error).splitlines()[0]}); give the base it was trained on."
            ) from error
        merged.save_pretrained(to)
    for pattern in _TOKENIZER:
        for file in base.glob(pattern):
            shutil.copy2(file, to / file.name)


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars, nor warnings between PEFT and transformers that no user can act on."""
    with no_progress_bars(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
