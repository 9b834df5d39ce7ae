"""Small models of several families, and level databases written in the documented layout."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from evolve.genome import digest
from evolve.genomes.compression.anatomy import Anatomy
from evolve.genomes.compression.database import ERRORS, FORMAT, MANIFEST, file_of
from evolve.genomes.compression.level import Bits, Level, Zeros
from evolve.genomes.compression.packing import pack, pack_zeros
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ProfileSpace, ZeroGrid, units_of, wanted
from evolve.score import Record, Score

TOKENS = torch.tensor([[3, 17, 5, 40, 8, 22, 31, 2, 9, 14]])
SMALL: dict[str, Any] = {
    "vocab_size": 48,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 32,
}


def write_model(
    folder: Path, kind: str, dtype: torch.dtype = torch.float32, **settings: Any
) -> Path:
    """A random model of transformers' model type `kind` in `folder`."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SMALL, **settings})
    model = AutoModelForCausalLM.from_config(config).float()
    with torch.no_grad():
        for name, tensor in model.named_parameters():  # norms and biases too
            tensor.copy_(0.2 * torch.randn(tensor.shape) + float("norm" in name or "ln_" in name))
    model.to(dtype).save_pretrained(folder)
    return folder


def gpt2(folder: Path) -> Path:
    return write_model(folder, "gpt2", n_embd=32, n_layer=4, n_head=2, n_positions=32)


def as_float32(source: Path, folder: Path) -> Path:
    """A copy of a checkpoint with its weights in float32."""
    folder.mkdir()
    config = json.loads((source / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float32"}))
    tensors = {k: v.float() for k, v in load_file(source / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def write_levels(
    folder: Path, model: Path, grid: BitGrid | ZeroGrid, *, tied: bool = True
) -> Path:
    """A database of `model` for `grid` in `folder`: rounded to nearest, smallest to zero."""
    anatomy = Anatomy.of(model)
    folder.mkdir()
    layers = {}
    for name, levels in wanted(units_of(anatomy, grid, tied)).items():
        linear = anatomy.by_name[name]
        [(_, weight)] = anatomy.source.tensors([anatomy.stored(f"{name}.weight")])
        weight = weight.T.contiguous() if linear.transposed else weight
        tensors: dict[str, torch.Tensor] = {}
        for level in levels:
            parts = _tensors(weight, level)
            tensors |= {f"{level.name}.{part}": tensor for part, tensor in parts.items()}
        errors = json.dumps({level.name: 1.0 for level in levels})
        save_file(tensors, folder / file_of(name), metadata={ERRORS: errors})
        content = hashlib.sha256((folder / file_of(name)).read_bytes()).hexdigest()
        layers[name] = {"sha256": content, "levels": [level.name for level in levels]}
    manifest = {
        "format": FORMAT,
        "model": anatomy.source.digest,
        "settings": {},
        "layers": layers,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def _tensors(weight: torch.Tensor, level: Level) -> dict[str, torch.Tensor]:
    if isinstance(level, Bits):
        grouped = weight.float().reshape(len(weight), -1, level.group)
        top = 2 ** (level.bits - 1) - 1
        scales = (grouped.abs().amax(dim=2) / max(top, 1)).clamp(min=1e-9)
        codes = (grouped / scales[:, :, None]).round().clamp(-top - 1, top).to(torch.int8)
        return {
            "codes": pack(codes.reshape(weight.shape), level.bits),
            "scales": scales.to(weight.dtype),
        }
    assert isinstance(level, Zeros)
    keep = torch.ones(weight.numel(), dtype=torch.bool)
    keep[weight.float().abs().flatten().argsort(stable=True)[: level.count]] = False
    mask, kept = pack_zeros(weight, keep.reshape(weight.shape))
    return {"mask": mask, "kept": kept}


def mixed(
    space: ProfileSpace, attention: Sequence[int] = (), mlp: Sequence[int] = ()
) -> CompressionProfile:
    """A profile with every level of the space in turn, and these parts removed."""
    levels = np.array([i % len(unit.levels) for i, unit in enumerate(space.units)])
    masks = [np.ones(space.n_blocks, bool) for _ in range(2)]
    masks[0][list(attention)] = False
    masks[1][list(mlp)] = False
    return CompressionProfile.at(space, levels, *masks)


def record_of(profile: CompressionProfile) -> Record[CompressionProfile]:
    return Record(7, profile, digest(profile), Score((1.0,)), parents=(1, 2), operator="switch")


def scored_logits(profile: CompressionProfile, tokens: torch.Tensor = TOKENS) -> torch.Tensor:
    """What the candidate's weights say, in the original's architecture, in float32."""
    path = profile.space.anatomy.source.path
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path)).float().eval()
    missing = model.load_state_dict(profile.express(), strict=False).missing_keys
    assert all("lm_head" in name or "embed_out" in name for name in missing)
    model.tie_weights()
    return logits(model, tokens)


def reloaded_logits(folder: Path, tokens: torch.Tensor = TOKENS) -> torch.Tensor:
    """What the export in `folder` says, loaded by transformers' default path."""
    return logits(AutoModelForCausalLM.from_pretrained(folder).eval(), tokens)


def logits(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(tokens, use_cache=False).logits
    return found


def agree(profile: CompressionProfile, folder: Path, tokens: torch.Tensor = TOKENS) -> float:
    """The largest difference of logits; raises above 1e-4, or if all logits are the same."""
    wanted_logits, found = scored_logits(profile, tokens), reloaded_logits(folder, tokens)
    assert found.dtype == torch.float32
    assert float(wanted_logits.std()) > 1e-2
    difference = float((wanted_logits - found).abs().max())
    assert difference < 1e-4
    return difference
