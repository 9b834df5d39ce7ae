"""Tiny random checkpoints of many families, and level databases of them, for tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from evolve.genomes.compression.anatomy import Anatomy
from evolve.genomes.compression.database import ERRORS, FORMAT, MANIFEST, file_of
from evolve.genomes.compression.level import Bits, Zeros
from evolve.genomes.compression.packing import pack, pack_zeros
from evolve.genomes.compression.space import BitGrid, ZeroGrid, units_of, wanted

_SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_GPT2 = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
_GPT2 |= {"bos_token_id": 1, "eos_token_id": 2}
_NEOX = {name: size for name, size in _SIZES.items() if name != "num_key_value_heads"}

# model_type and what its configuration is given.
FAMILIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama": ("llama", _SIZES),
    "llama with biases": ("llama", {**_SIZES, "attention_bias": True, "mlp_bias": True}),
    "mistral": ("mistral", _SIZES),
    "qwen2": ("qwen2", _SIZES),
    "qwen3": ("qwen3", {**_SIZES, "head_dim": 16}),
    "gemma": ("gemma", {**_SIZES, "head_dim": 16}),
    "gemma2": ("gemma2", {**_SIZES, "head_dim": 16}),
    "gemma3": ("gemma3_text", {**_SIZES, "head_dim": 16}),
    "phi": ("phi", _SIZES),
    "phi3": ("phi3", _SIZES),
    "gpt2": ("gpt2", _GPT2),
    "gpt_neox": ("gpt_neox", _NEOX),
    "gpt_neox in sequence": ("gpt_neox", {**_NEOX, "use_parallel_residual": False}),
    "gptj": ("gptj", {**_GPT2, "rotary_dim": 4}),
    "falcon": ("falcon", {n: s for n, s in _NEOX.items() if n != "intermediate_size"}),
}


def write(folder: Path, family: str, *, dtype: torch.dtype = torch.float32, **given: Any) -> Path:
    """A checkpoint of `family`, random in every tensor, its configuration changed by `given`."""
    kind, sizes = FAMILIES[family]
    return write_type(folder, kind, dtype=dtype, **{**sizes, **given})


def write_type(
    folder: Path, kind: str, *, dtype: torch.dtype = torch.float32, **given: Any
) -> Path:
    """A checkpoint of model_type `kind`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **given))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.to(dtype).save_pretrained(folder)
    return folder


def rewrite(folder: Path, changed: Mapping[str, torch.Tensor]) -> None:
    """The checkpoint's tensors replaced by `changed`."""
    file = folder / "model.safetensors"
    save_file(dict(changed), file, {"format": "pt"})


def stored(folder: Path) -> dict[str, torch.Tensor]:
    """The checkpoint's tensors."""
    return dict(load_file(folder / "model.safetensors"))


def write_database(folder: Path, model: Path, grid: BitGrid | ZeroGrid) -> Path:
    """A database of `model`: rounded to the nearest, or zeroed where smallest."""
    anatomy = Anatomy.of(model)
    folder.mkdir(parents=True)
    layers = {}
    for name, levels in wanted(units_of(anatomy, grid)).items():
        linear = anatomy.by_name[name]
        key = anatomy.stored(f"{name}.weight")
        weight = dict(anatomy.source.tensors([key]))[key]
        weight = weight.T if linear.transposed else weight
        tensors = {}
        for level in levels:
            if isinstance(level, Bits):
                groups = weight.reshape(linear.rows, -1, level.group)
                top = 2 ** (level.bits - 1)
                scales = groups.abs().amax(2) / (top - 0.5)
                codes = (groups / scales[:, :, None]).round().clamp(-top, top - 1).to(torch.int8)
                parts = {"codes": pack(codes.reshape(weight.shape), level.bits), "scales": scales}
            else:
                assert isinstance(level, Zeros)
                order = weight.abs().flatten().argsort(stable=True)
                keep = torch.ones(linear.size, dtype=torch.bool)
                keep[order[: level.count]] = False
                mask, kept = pack_zeros(weight, keep.reshape(weight.shape))
                parts = {"mask": mask, "kept": kept}
            tensors |= {f"{level.name}.{part}": t.contiguous() for part, t in parts.items()}
        file = folder / file_of(name)
        save_file(tensors, file, {ERRORS: json.dumps({level.name: 0.0 for level in levels})})
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        layers[name] = {"levels": [level.name for level in levels], "sha256": sha256}
    manifest = {"format": FORMAT, "model": anatomy.source.digest, "settings": {}, "layers": layers}
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return folder
