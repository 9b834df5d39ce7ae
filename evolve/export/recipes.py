"""Re-quantises; not what was scored: a profile's bits as recipes for llama.cpp and GPTQModel.

Those tools make integers of their own from the original weights, so only the number of bits of
each layer carries over. Nothing here was run in them.

llama.cpp: `llama-quantize --tensor-type-file FILE`, whitespace-separated `regex=type`, searched
in GGUF's names, so anchored; it knows no comments. Names and sizes are those of gguf 0.19.
GPTQModel: its `dynamic`, JSON of regex (`+:` overrides, `-:` leaves alone) to settings, matched
from the start of the module's name. Its GPTQ format packs 2, 3, 4 and 8 bits (transformers 5.23's
GPTQConfig refuses others), 32 values at a time along inputs and outputs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from evolve.errors import ExportError
from evolve.export import card
from evolve.export.compressed import refuse_others
from evolve.export.directory import refuse_existing
from evolve.export.texts import write_texts
from evolve.genomes.checkpoint import read_config
from evolve.genomes.compression.anatomy import Anatomy, Linear
from evolve.genomes.compression.level import Bits, Level, Zeros
from evolve.genomes.compression.profile import CompressionProfile
from evolve.score import Record

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType, TensorNameMap

HEADER = "Re-quantises; not what was scored"
TENSOR_TYPES, DYNAMIC = "tensor_types.txt", "gptqmodel_dynamic.json"
K_QUANTS = {2: "Q2_K", 3: "Q3_K", 4: "Q4_K", 5: "Q5_K", 6: "Q6_K", 8: "Q8_0"}  # 256, Q8_0 32
SMALL_BLOCKS = {4: "Q4_0", 5: "Q5_0", 8: "Q8_0"}  # blocks of 32 weights
_DENSE = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_GPTQ_BITS = (2, 3, 4, 8)
_GPTQ_PACKED = 32
# Where transformers' model type is not GGUF's word for the architecture.
_ARCHITECTURES = {
    "mistral": "llama",
    "gpt_neox": "gptneox",
    "gemma3_text": "gemma3",
    "phi": "phi2",
}


def fitting_types(profile: CompressionProfile) -> Mapping[int, str]:
    """`K_QUANTS` where its blocks of 256 divide the inputs of every layer, else `SMALL_BLOCKS`."""
    whole = all(linear.columns % 256 == 0 for linear in profile.space.anatomy.linears)
    return K_QUANTS if whole else SMALL_BLOCKS


def tensor_types(profile: CompressionProfile, types: Mapping[int, str] = K_QUANTS) -> str:
    """The text of llama.cpp's tensor type file: an anchored regex for each linear layer.

    `types`: GGUF's type by bits. Raises `ExportError` for bits without a type, rows that its
    blocks do not divide, zeros, removed parts, and layers that GGUF has no name for.
    """
    typed = _typed(profile, types)
    return "".join(f"^{re.escape(name)}$={kind.name.lower()}\n" for name, kind, _ in typed)


def gguf_bytes(profile: CompressionProfile, types: Mapping[int, str] = K_QUANTS) -> int:
    """Bytes of the blocks' linear layers in the types of `tensor_types`, scales included."""
    import gguf

    total = 0
    for _, kind, linear in _typed(profile, types):
        block, size = gguf.GGML_QUANT_SIZES[kind]
        total += linear.size // block * size
    return total


def gptqmodel_dynamic(profile: CompressionProfile) -> dict[str, dict[str, int | bool]]:
    """GPTQModel's `dynamic` for the profile's levels: a regex for each linear layer.

    Raises `ExportError` for bits that the GPTQ format has not, sides that it cannot pack, zeros
    and removed parts.
    """
    found: dict[str, dict[str, int | bool]] = {}
    for linear, level in _layers(profile):
        pattern = f"^{re.escape(linear.name)}$"
        if not isinstance(level, Bits):
            found[f"-:{pattern}"] = {}
            continue
        if level.bits not in _GPTQ_BITS:
            raise ExportError(
                f"{linear.name} is at {level.bits} bits, the GPTQ format has "
                f"{', '.join(map(str, _GPTQ_BITS))}; search with BitGrid({_GPTQ_BITS})."
            )
        for side, size in (("inputs", linear.columns), ("outputs", linear.rows)):
            if size % _GPTQ_PACKED:
                raise ExportError(
                    f"{linear.name} has {size} {side}, which the GPTQ format cannot pack: it "
                    f"takes multiples of {_GPTQ_PACKED}. Use the compressed-tensors export."
                )
        settings: dict[str, int | bool] = {"bits": level.bits, "group_size": level.group}
        found[f"+:{pattern}"] = {**settings, "sym": True, "desc_act": False}
    return found


@dataclass(frozen=True)
class RecipeExporter:
    """Writes a directory of recipes, not of weights. An `Exporter`.

    `types`: GGUF's type by bits. `llama_cpp`, `gptqmodel`: for which tools. A tool that cannot
    hold the profile gets no file, and the README says why; if none can: `ExportError`.
    """

    types: Mapping[int, str] = field(default_factory=lambda: dict(K_QUANTS))
    llama_cpp: bool = True
    gptqmodel: bool = True

    def __post_init__(self) -> None:
        if not (self.llama_cpp or self.gptqmodel):
            raise ExportError("RecipeExporter has no tool to write for; leave it llama_cpp, say.")

    def export(
        self, record: Record[CompressionProfile], to: Path, story: Mapping[str, str]
    ) -> None:
        """Write the recipes of `record`'s profile to the new directory `to`, or nothing.

        Up to two recipes, profile.json and README.md, which says first that a recipe
        re-quantises (card.notes reads it), then what was refused, how to use it, `story`.
        """
        refuse_others(record.birth, record.genome, "RecipeExporter")
        refuse_existing(to)
        profile, files, refused = record.genome, dict[str, str](), list[str]()
        try:
            if self.llama_cpp:
                files[TENSOR_TYPES] = tensor_types(profile, self.types)
        except ExportError as error:
            refused.append(f"No {TENSOR_TYPES} for llama.cpp: {error}")
        try:
            if self.gptqmodel:
                files[DYNAMIC] = json.dumps(gptqmodel_dynamic(profile), indent=2) + "\n"
        except ExportError as error:
            refused.append(f"No {DYNAMIC} for GPTQModel: {error}")
        if not files:
            raise ExportError(" ".join(refused))
        use = {DYNAMIC: _GPTQMODEL}
        if TENSOR_TYPES in files:
            use[TENSOR_TYPES] = _llama_cpp(profile, self.types)
        sections = {
            card.NOTES: card.points([f"{HEADER}: {_WHY}", *refused]),
            "Use": "\n\n".join(use[name] for name in files),
            **story,
        }
        write_texts(to, HEADER, files, profile, sections)


_WHY = (
    "the tool makes integers of its own from the original weights; only each layer's number of "
    "bits is the profile's. Measure the result before you use it."
)
_GPTQMODEL = f"""GPTQModel, from the original model:

```python
import json
from gptqmodel import GPTQModel, QuantizeConfig

dynamic = json.load(open("{DYNAMIC}"))
config = QuantizeConfig(bits=4, group_size=128, dynamic=dynamic)  # a layer not named here: 4 bits
```"""


def _llama_cpp(profile: CompressionProfile, types: Mapping[int, str]) -> str:
    return f"""llama.cpp, from the original model's GGUF in its own dtype:

```
llama-quantize --tensor-type-file {TENSOR_TYPES} ORIGINAL.gguf OUT.gguf Q4_K_M
```

The blocks' linear layers take {gguf_bytes(profile, types):,} bytes there; `Q4_K_M` is for what
the file does not name, such as embeddings."""


def _typed(
    profile: CompressionProfile, types: Mapping[int, str]
) -> Iterator[tuple[str, GGMLQuantizationType, Linear]]:
    """Each linear layer with its GGUF name and type."""
    import gguf

    anatomy = profile.space.anatomy
    names = _gguf_names(anatomy)
    for linear, level in _layers(profile):
        name = names.get_name(linear.name)
        if name is None:
            raise ExportError(
                f"GGUF has no name for {linear.name} of {anatomy.source.name}; llama.cpp does "
                "not know this architecture's layer. Use the compressed-tensors export."
            )
        word = types.get(level.bits) if isinstance(level, Bits) else _DENSE.get(anatomy.dtype)
        if word is None:
            raise ExportError(
                f"{linear.name} is at {level.name}, for which no GGUF type is given; the types "
                f"are for {', '.join(map(str, types))} bits. Search with those, or give types "
                "for others (RecipeExporter.types)."
            )
        kind = gguf.GGMLQuantizationType[word]
        block, _ = gguf.GGML_QUANT_SIZES[kind]
        if linear.columns % block:
            raise ExportError(
                f"{linear.name} has {linear.columns} inputs, which {word}'s blocks of {block} do "
                "not divide; give types with smaller blocks (recipes.SMALL_BLOCKS), or use the "
                "compressed-tensors export."
            )
        yield f"{name}.weight", kind, linear


def _layers(profile: CompressionProfile) -> Iterator[tuple[Linear, Level]]:
    """The layers with their levels, of a profile that recipes can hold."""
    if not (profile.attention.all() and profile.mlp.all()):
        raise ExportError(
            "The profile removes parts, which a recipe for the original model cannot; use the "
            "compressed-tensors export."
        )
    for linear, level in profile.layers():
        if isinstance(level, Zeros):
            raise ExportError(
                f"{linear.name} is at {level.name}; a recipe holds bits, no zeros. Use the dense "
                "export."
            )
        yield linear, level


def _gguf_names(anatomy: Anatomy) -> TensorNameMap:
    import gguf

    kind = str(read_config(anatomy.source.path).get("model_type"))
    wanted = _ARCHITECTURES.get(kind, kind)
    for architecture, name in gguf.MODEL_ARCH_NAMES.items():
        if name == wanted:
            return gguf.get_tensor_name_map(architecture, len(anatomy.blocks))
    raise ExportError(
        f"GGUF knows no architecture {wanted!r} ({anatomy.source.name}'s model_type is {kind}); "
        "use the compressed-tensors export."
    )
