"""Where a causal language model keeps its blocks, attention, MLPs and linear layers.

Read off the architecture itself, built on the meta device from config.json: the longest list of
like modules is the blocks, and in a block the children called attention and MLP are its parts.
A part is removed by zeroing its output projection: exact wherever a block adds each part's
output (or a norm of it that keeps zero) to the residual stream. Blocks that do more, and parts
that the projection is not the only way out of (experts), are refused. Knows no level, no budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from evolve.errors import CheckpointError
from evolve.genomes.checkpoint import DTYPES, ITEMSIZE, Entry, Source

if TYPE_CHECKING:
    import torch

ATTENTION = ("self_attn", "attention", "attn", "self_attention")
MLP = ("mlp", "feed_forward", "ffn")
OUTPUT = ("o_proj", "down_proj", "dense", "fc2", "c_proj", "out_proj", "dense_4h_to_h", "fc_out")
HEAD = "lm_head."  # outside the base model, so without its prefix
OLD_HEAD = "embed_out."  # what GPT-NeoX's files call it
# Fused kernels (vLLM and others) hold these as one matrix, so they share one scheme.
FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
# Beside the floats: masks and position tables in files of older versions.
SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "I32": 4, "U32": 4, "I64": 8, "U64": 8}
SIZES |= {"F8_E4M3": 1, "F8_E5M2": 1, **ITEMSIZE}


class Part(StrEnum):
    """A sub-block."""

    ATTENTION = "attention"
    MLP = "mlp"


@dataclass(frozen=True)
class Names:
    """What a model calls its parts, for architectures that are not recognised.

    `blocks`: path of the list of blocks; the others are names inside one block, the outputs
    inside their part, dotted if deeper: Names("model.layers", "self_attn", "mlp", "o_proj",
    "down_proj").
    """

    blocks: str
    attention: str
    mlp: str
    attention_output: str
    mlp_output: str


@dataclass(frozen=True)
class Linear:
    """A linear layer: (rows outputs, columns inputs), whatever way round it is stored."""

    name: str  # of the module in the live model
    rows: int
    columns: int
    bias: bool = False
    transposed: bool = False  # transformers' Conv1D holds (columns, rows)
    overridden: bool = False  # a subclass with a forward of its own reads the weight (Falcon)

    @property
    def size(self) -> int:
        """How many weights."""
        return self.rows * self.columns

    @property
    def own(self) -> str:
        """The last part of its name."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True)
class Block:
    """One block: its linear layers by part, in model order, the output projection last."""

    name: str
    attention: tuple[Linear, ...]
    mlp: tuple[Linear, ...]

    @property
    def linears(self) -> tuple[Linear, ...]:
        """All its linear layers, in model order."""
        return (*self.attention, *self.mlp)

    def part(self, part: Part) -> tuple[Linear, ...]:
        """The linear layers of `part`."""
        return self.attention if part is Part.ATTENTION else self.mlp


@dataclass(frozen=True)
class Anatomy:
    """A checkpoint seen as blocks. Build it with `Anatomy.of`."""

    source: Source
    blocks: tuple[Block, ...]
    prefix: (
        str  # of the live model's names, if the checkpoint leaves it out (GPT-2: "transformer.")
    )

    @classmethod
    def of(cls, model: str | Path, names: Names | None = None) -> Self:
        """The anatomy of the checkpoint `model`, a directory or a hub id.

        Raises `CheckpointError` if there are no blocks to be found (`names` tells where), or
        if the files do not hold what the architecture has.
        """
        source = Source.of(model)
        blocks, prefix = _read(source, names)
        return cls(source, blocks, prefix)

    @cached_property
    def linears(self) -> tuple[Linear, ...]:
        """Every linear layer of every block, in model order."""
        return tuple(linear for block in self.blocks for linear in block.linears)

    @cached_property
    def by_name(self) -> Mapping[str, Linear]:
        """The linear layers by name."""
        return {linear.name: linear for linear in self.linears}

    @property
    def dtype(self) -> str:
        """The dtype in which the checkpoint stores its linear layers, torch's word."""
        return DTYPES[self._first.dtype]

    @property
    def itemsize(self) -> int:
        """Bytes of one stored weight."""
        return ITEMSIZE[self._first.dtype]

    def stored(self, name: str) -> str:
        """The checkpoint's name of the live model's tensor `name`."""
        return _stored(name, self.prefix, self.source)

    def live(self, name: str) -> str:
        """The live model's name of the checkpoint's tensor `name`."""
        if name.startswith(OLD_HEAD):
            return HEAD + name.removeprefix(OLD_HEAD)
        return name if name.startswith(HEAD) else f"{self.prefix}{name}"

    def other_bytes(self, block: int | None = None) -> int:
        """Bytes of what is no linear weight of a block: biases, norms, embeddings, head.

        `block`: those inside that block; None: those outside all blocks.
        """
        return self._others.get(block, 0)

    @cached_property
    def _others(self) -> Mapping[int | None, int]:
        weights = {self.stored(f"{linear.name}.weight") for linear in self.linears}
        path = self.stored(self.blocks[0].name).rpartition(".")[0] + "."
        total: dict[int | None, int] = {}
        for name, entry in self.source.entries.items():
            if name not in weights:
                index = name.removeprefix(path).partition(".")[0]
                home = int(index) if name.startswith(path) and index.isdecimal() else None
                total[home] = total.get(home, 0) + entry.size * _itemsize(name, entry)
        return total

    @property
    def _first(self) -> Entry:
        return self.source.entries[self.stored(f"{self.linears[0].name}.weight")]


@lru_cache(maxsize=8)
def _read(source: Source, names: Names | None) -> tuple[tuple[Block, ...], str]:
    import torch

    model = meta_model(source.path)
    base: Any = model
    modules = dict(model.named_modules())
    if names is None and base.config.get_text_config() is not base.config:
        what = "it is made of several models, of which the language model is one"
        raise CheckpointError(_unknown(source, what, modules))
    path = names.blocks if names else _longest_list(modules)
    found, blocks = modules.get(path), []
    for i in range(len(found) if isinstance(found, torch.nn.ModuleList) else 0):
        name = f"{path}.{i}"
        blocks.append(
            Block(
                name,
                _part(modules, name, Part.ATTENTION, names),
                _part(modules, name, Part.MLP, names),
            )
        )
    if not blocks:
        raise CheckpointError(_unknown(source, f"it has no list of blocks {path!r}", modules))
    for block in blocks:
        for part in Part:
            if not block.part(part):
                what = f"{block.name} has no {part} with one output projection"
                raise CheckpointError(_unknown(source, what, modules))
        if beside := _beside(modules, block, names):
            what = f"{beside} acts beside the output projections that were found"
            raise CheckpointError(_unknown(source, what, modules))
    first = f"{blocks[0].attention[0].name}.weight"
    prefix = "" if first in source.entries else f"{base.base_model_prefix}."
    _check(source, model, prefix, blocks)
    return tuple(blocks), prefix


def meta_model(path: Path) -> torch.nn.Module:
    """The architecture of the checkpoint at `path`, without weights.

    Raises `CheckpointError` if it is no causal language model that transformers knows.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        with torch.device("meta"):
            built = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path))  # type: ignore[no-untyped-call]
    except (ValueError, KeyError, ImportError) as error:
        raise CheckpointError(
            f"{path} is no causal language model that this transformers can build "
            f"({str(error).strip().partition(chr(10))[0]}); compression profiles need one whose "
            "config.json names a known model_type."
        ) from error
    model: torch.nn.Module = built
    return model


def _stored(name: str, prefix: str, source: Source) -> str:
    if name.startswith(HEAD) and name not in source.entries:
        old = OLD_HEAD + name.removeprefix(HEAD)
        return old if old in source.entries else name
    return name.removeprefix(prefix)


def _itemsize(name: str, entry: Entry) -> int:
    if entry.dtype not in SIZES:
        raise CheckpointError(
            f"{name} in {entry.file} has dtype {entry.dtype}; save the model in one of "
            f"{', '.join(DTYPES.values())}."
        )
    return SIZES[entry.dtype]


def _beside(modules: Mapping[str, torch.nn.Module], block: Block, names: Names | None) -> str:
    """A tensor by which `block` does more than add its parts to the residual stream, or ""."""
    homes = tuple(f"{_home(modules, block.name, part, names)}." for part in Part)
    module = modules[block.name]
    for own, tensor in module.named_parameters():
        name = f"{block.name}.{own}"
        if tensor.ndim > (2 if name.startswith(homes) else 1):  # experts; a third part
            return name
    scales = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return f"{block.name}.{scales[0][0]}" if scales else ""


def _check(source: Source, model: torch.nn.Module, prefix: str, blocks: Sequence[Block]) -> None:
    """Raises `CheckpointError` where the files do not hold the model's tensors."""
    names = {name: _stored(name, prefix, source) for name, _ in model.named_parameters()}
    missing = [name for name, stored in names.items() if stored not in source.entries]
    if missing:
        raise CheckpointError(
            f"{source.path} lacks {len(missing)} of the model's {len(names)} tensors, or has "
            f"them by other names: {', '.join(missing[:3])}; load the model with transformers "
            "and write it anew with save_pretrained, unquantized."
        )
    dtypes = set()
    for linear in (each for block in blocks for each in block.linears):
        entry = source.entries[names[f"{linear.name}.weight"]]
        shape = (linear.rows, linear.columns)
        if entry.shape != (shape[::-1] if linear.transposed else shape):
            raise CheckpointError(
                f"{linear.name}.weight is {entry.shape} in {entry.file}, config.json makes it "
                f"{shape} (outputs, inputs); fetch the matching files."
            )
        dtypes.add(entry.dtype)
    if len(dtypes) > 1 or not dtypes <= set(DTYPES):
        raise CheckpointError(
            f"{source.path} stores its linear layers as {', '.join(sorted(dtypes))}; save the "
            f"model in one of {', '.join(DTYPES.values())}."
        )


def _longest_list(modules: Mapping[str, torch.nn.Module]) -> str:
    """The path of the longest list of modules of one class, in no other; the first of equals."""
    import torch

    best, length, outer = "", 0, "."
    for name, module in modules.items():
        if isinstance(module, torch.nn.ModuleList) and not name.startswith(outer):
            outer = f"{name}."
            if len({type(each) for each in module}) == 1 and len(module) > length:
                best, length = name, len(module)
    return best


def _home(
    modules: Mapping[str, torch.nn.Module], block: str, part: Part, names: Names | None
) -> str:
    """The name of the module that is `part` of `block`, or ""."""
    wanted: tuple[str, ...] = ATTENTION if part is Part.ATTENTION else MLP
    if names is not None:
        wanted = (names.attention if part is Part.ATTENTION else names.mlp,)
    return next((f"{block}.{each}" for each in wanted if f"{block}.{each}" in modules), "")


def _part(
    modules: Mapping[str, torch.nn.Module], block: str, part: Part, names: Names | None
) -> tuple[Linear, ...]:
    """The linear layers of a block's part, the output projection last; () if it has none."""
    home = _home(modules, block, part, names)
    outputs: tuple[str, ...] = OUTPUT
    if names is not None:
        outputs = (names.attention_output if part is Part.ATTENTION else names.mlp_output,)
    found = [
        linear
        for name, module in modules.items()
        if home and name.startswith(f"{home}.") and (linear := _linear(name, module)) is not None
    ]
    ends = [
        linear
        for linear in found
        if linear.own in outputs or linear.name.removeprefix(f"{home}.") in outputs
    ]
    if len(ends) != 1:
        return ()
    return (*(linear for linear in found if linear is not ends[0]), ends[0])


def _linear(name: str, module: torch.nn.Module) -> Linear | None:
    import torch
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, torch.nn.Linear):
        return Linear(
            name,
            module.out_features,
            module.in_features,
            module.bias is not None,
            overridden=type(module).forward is not torch.nn.Linear.forward,
        )
    if isinstance(module, Conv1D):
        columns, rows = module.weight.shape
        return Linear(name, rows, columns, True, transposed=True)
    return None


def _unknown(source: Source, what: str, modules: Mapping[str, object]) -> str:
    shown = [name for name in modules if 0 < name.count(".") <= 4 and ".1." not in name][:24]
    return (
        f"The blocks of {source.name} are not recognised: {what}. Pass "
        "names=Names(blocks=..., attention=..., mlp=..., attention_output=..., mlp_output=...) "
        f"with the names of its modules, among them {', '.join(shown)}. Blocks that are not an "
        "attention and an MLP, each added to the residual stream, cannot be compressed."
    )
