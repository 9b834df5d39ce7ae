"""Blocks whose parts are both removed, deleted from a checkpoint: tensors renumbered, config cut.

Exact wherever a block adds its parts' outputs to the residual stream and does nothing else to
it. transformers has no config that skips one part of a block (5.23 accepts `per_layer_config`
with `skip` and its Llama ignores it), so single parts stay, zeroed. Knows no level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolve.errors import ExportError
from evolve.genomes.checkpoint import read_config
from evolve.genomes.compression.anatomy import Anatomy, Part, meta_model
from evolve.genomes.compression.profile import CompressionProfile

if TYPE_CHECKING:
    import torch

# Lists that are no list of layers, though they may be as long.
_NOT_LAYERS = ("architectures", "bos_token_id", "eos_token_id", "pad_token_id", "suppress_tokens")
# How many of the first blocks are of a kind.
_LEADING = ("max_window_layers", "first_k_dense_replace")
# Rules that give a block its kind by its number; void where `layer_types` says it.
_RULES = ("sliding_window_pattern", "_sliding_window_pattern")
# What a block does depends on its number, and no list in the config says it.
_NUMBERED = ("scale_attn_by_inverse_layer_idx", "num_kv_shared_layers")


def kept_blocks(profile: CompressionProfile) -> tuple[int, ...]:
    """The blocks that stay: those with a part that is kept. Raises `ExportError` for none."""
    kept = [i for i, whole in enumerate(profile.attention | profile.mlp) if whole]
    if not kept:
        raise ExportError(
            "The profile removes every block, and transformers builds no model without blocks; "
            "keep a part of one."
        )
    return tuple(kept)


def zeroed_parts(profile: CompressionProfile) -> Iterator[tuple[int, Part]]:
    """The removed parts of the blocks that stay, by the original's numbers."""
    for i in kept_blocks(profile):
        for part in Part:
            if not profile.keeps(i, part):
                yield i, part


def renumbered(
    anatomy: Anatomy, tensors: Mapping[str, torch.Tensor], kept: Sequence[int]
) -> dict[str, torch.Tensor]:
    """`tensors` (by live names) without the blocks that are not in `kept`, numbered anew."""
    found = {}
    for name, tensor in tensors.items():
        new = new_name(anatomy, name, kept)
        if new is not None:
            found[new] = tensor
    return found


def new_name(anatomy: Anatomy, name: str, kept: Sequence[int]) -> str | None:
    """What the live model's tensor or module `name` is called in the cut model; None: gone."""
    blocks = anatomy.blocks[0].name.rpartition(".")[0] + "."
    if not name.startswith(blocks):
        return name
    number, dot, rest = name.removeprefix(blocks).partition(".")
    if int(number) not in kept:
        return None
    return f"{blocks}{kept.index(int(number))}{dot}{rest}"


def cut_config(folder: Path, kept: Sequence[int]) -> dict[str, Any]:
    """The config of the checkpoint in `folder`, for the blocks `kept` alone.

    Every top-level list with an entry a block is cut, also those that transformers derives from
    the blocks' numbers and the file leaves out: derived anew, they would be wrong. Raises
    `ExportError` for a config whose blocks cannot be cut.
    """
    from transformers import AutoConfig

    written = read_config(folder)
    config = AutoConfig.from_pretrained(folder)
    full = config.to_dict()
    key = config.attribute_map.get("num_hidden_layers", "num_hidden_layers")
    n_blocks = full.get(key)
    if n_blocks is None or not all(i < n_blocks for i in kept):
        raise ExportError(
            f"{folder / 'config.json'} does not say at {key!r} that the model has more than "
            f"{max(kept)} blocks, so none can be deleted; export the language model by itself."
        )
    if len(kept) == n_blocks:
        return written
    for name in _NUMBERED:
        if full.get(name):
            raise ExportError(
                f"The blocks of {folder} cannot be renumbered: with {name}={full[name]} they "
                "depend on their numbers. Search without depth, or give the experiment an "
                "exporter of your own."
            )
    cut = dict(written)
    for name, value in full.items():
        if isinstance(value, list | tuple) and len(value) == n_blocks and name not in _NOT_LAYERS:
            cut[name] = [value[i] for i in kept]
        elif name in _LEADING and isinstance(value, int):
            cut[name] = sum(i < value for i in kept)
        elif name == "per_layer_config" and isinstance(value, Mapping):
            numbered = {int(number): entry for number, entry in value.items()}
            cut[name] = {str(j): numbered[i] for j, i in enumerate(kept) if i in numbered}
        elif name in _RULES and "layer_types" in full:
            cut.pop(name, None)
    for name in {key, "num_hidden_layers"} & {key, *written}:
        cut[name] = len(kept)
    return cut


def check_shapes(folder: Path, tensors: Mapping[str, torch.Tensor], blocks: str) -> None:
    """Raises `ExportError` unless the config in `folder` builds a model that `tensors` fill.

    `blocks`: the path of the list of blocks; outside it tensors may be tied, so absent.
    """
    try:
        wanted = dict(meta_model(folder).named_parameters())
    except ValueError as error:
        raise ExportError(
            f"transformers builds no model from the config without the removed blocks ({error}); "
            "search without depth, or give the experiment an exporter of your own."
        ) from error
    for name, parameter in wanted.items():
        shape = tensors[name].shape if name in tensors else None
        if shape != parameter.shape and (shape is not None or name.startswith(f"{blocks}.")):
            raise ExportError(
                f"Without the removed blocks the model's {name} is {tuple(parameter.shape)}, the "
                f"checkpoint has {None if shape is None else tuple(shape)}: something in its "
                "config belongs to single blocks and is not known. Search without depth, or "
                "give the experiment an exporter of your own."
            )
