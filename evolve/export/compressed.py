"""A compression profile written as a checkpoint that transformers loads by its default path.

Fewer bits become compressed-tensors' `pack-quantized` (0.20.0): symmetric, codes and scales as
the level database holds them, nothing quantised anew. Zeros and removed parts alone become dense
safetensors, and so does everything if a layer with bits is no plain `nn.Linear` (GPT-2, Falcon).
Load it without `CompressedTensorsConfig(dequantize=True)`: with that, transformers 5.23 applies
one group's scheme to every layer, silently. The bits that vLLM takes: `profile_card`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolve.errors import ExportError
from evolve.export.companions import copy_companions, write_json
from evolve.export.depth import (
    check_shapes,
    cut_config,
    kept_blocks,
    new_name,
    renumbered,
    zeroed_parts,
)
from evolve.export.directory import appearing, refuse_existing
from evolve.export.profile_card import packs, profile_card
from evolve.export.profile_json import FILE, profile_json
from evolve.export.shards import write_tensors
from evolve.genome import Genome
from evolve.genomes.compression.anatomy import Linear, meta_model
from evolve.genomes.compression.level import Bits
from evolve.genomes.compression.packing import CODES, SCALES
from evolve.genomes.compression.profile import CompressionProfile
from evolve.score import Record

if TYPE_CHECKING:
    import torch

PACKED_FORMAT = "pack-quantized"


@dataclass(frozen=True)
class CompressedExporter:
    """Writes a compression profile as a model that `from_pretrained` loads. An `Exporter`.

    `max_shard_bytes`: most bytes of a safetensors file, as far as single tensors allow.
    """

    max_shard_bytes: int = 5_000_000_000

    def __post_init__(self) -> None:
        if self.max_shard_bytes < 1:
            raise ExportError(f"max_shard_bytes is {self.max_shard_bytes}; give 1 or more.")

    def export(
        self, record: Record[CompressionProfile], to: Path, story: Mapping[str, str]
    ) -> None:
        """Write `record`'s profile to the new directory `to`: whole, or not at all.

        safetensors, config.json, generation config, tokenizer, profile.json and README.md,
        whose sections are notes (card.notes reads them), `story`, profile, base, usage. Raises
        `ExportError`, `CheckpointError` or `GenomeError` if model or database changed.
        """
        refuse_others(record.birth, record.genome, "CompressedExporter")
        refuse_existing(to)
        profile = record.genome
        anatomy, kept = profile.space.anatomy, kept_blocks(profile)
        config = {**cut_config(anatomy.source.path, kept), "dtype": anatomy.dtype}
        if "torch_dtype" in config:  # its old name
            config["torch_dtype"] = anatomy.dtype
        tensors = renumbered(anatomy, profile.express(), kept)
        with appearing(to) as folder:
            write_json(folder / "config.json", config)
            if len(kept) < len(anatomy.blocks):
                check_shapes(folder, tensors, anatomy.blocks[0].name.rpartition(".")[0])
            if packs(profile):
                config["quantization_config"] = _scheme(profile, folder, kept)
                write_json(folder / "config.json", config)
                for name, parts in _packed(profile, kept):
                    del tensors[f"{name}.weight"]
                    tensors |= parts
            write_tensors(folder, tensors, self.max_shard_bytes)
            copy_companions(anatomy.source.path, folder)
            write_json(folder / FILE, profile_json(profile))
            (folder / "README.md").write_text(
                profile_card(to.name, record, story), encoding="utf-8"
            )


def refuse_others(birth: int, genome: Genome, exporter: str) -> None:
    """A run loaded from its ledger has genomes of any kind, whatever the annotation says."""
    if not isinstance(genome, CompressionProfile):
        raise ExportError(
            f"Birth {birth} is a {type(genome).__name__}, {exporter} writes "
            "CompressionProfile; use the exporter of that genome."
        )


def _quantised(
    profile: CompressionProfile, kept: Sequence[int]
) -> Iterator[tuple[str, Linear, Bits]]:
    """The layers with bits in the blocks that stay, with their names in the cut model."""
    for linear, level in profile.layers():
        name = new_name(profile.space.anatomy, linear.name, kept)
        if isinstance(level, Bits) and name is not None:
            yield name, linear, level


def _packed(
    profile: CompressionProfile, kept: Sequence[int]
) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Each layer with bits, by its name in the cut model, as compressed-tensors stores it."""
    import torch

    from evolve.genomes.compression.database import Database
    from evolve.genomes.compression.packing import pack

    blocks = profile.space.anatomy.blocks
    zeroed = {blocks[i].part(part)[-1] for i, part in zeroed_parts(profile)}
    assert profile.space.database is not None, "levels need a database"
    database = Database.open(profile.space.database)
    for name, linear, level in _quantised(profile, kept):
        stored = database.packed(linear.name, level)
        codes = stored[CODES]
        if linear in zeroed:
            codes = pack(torch.zeros(linear.rows, linear.columns, dtype=torch.int8), level.bits)
        yield (
            name,
            {
                f"{name}.weight_packed": codes,
                f"{name}.weight_scale": stored[SCALES],
                f"{name}.weight_shape": torch.tensor([linear.rows, linear.columns]),
            },
        )


def _scheme(profile: CompressionProfile, folder: Path, kept: Sequence[int]) -> dict[str, Any]:
    """The config's `quantization_config`: one group a layer; `ignore` names every other layer.

    Group names are zero-padded: readers sort them. vLLM wants every layer in a group or ignored.
    """
    import compressed_tensors
    import torch

    quantised = {name: level for name, _, level in _quantised(profile, kept)}
    digits = max(3, len(str(len(quantised) - 1)))
    groups = {
        f"group_{i:0{digits}d}": {
            "targets": [name],
            "weights": {
                "num_bits": level.bits,
                "type": "int",
                "symmetric": True,
                "strategy": "group",
                "group_size": level.group,
                "dynamic": False,
            },
            "input_activations": None,
            "output_activations": None,
            "format": PACKED_FORMAT,
        }
        for i, (name, level) in enumerate(quantised.items())
    }
    others = [
        name
        for name, module in meta_model(folder).named_modules()
        if isinstance(module, torch.nn.Linear) and name not in quantised
    ]
    return {
        "quant_method": "compressed-tensors",
        "version": compressed_tensors.__version__,
        "format": PACKED_FORMAT,
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": sorted({"lm_head", *others}),
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
    }
