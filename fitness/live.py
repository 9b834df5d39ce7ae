"""One live model a worker, into which the weights of each candidate are copied.

Knows no genome and no score. The model is built once from a checkpoint directory's config; its
arithmetic is float32 on weights that were already rounded to the export dtype, which is what a
user sees who loads the exported checkpoint in float32.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from evolve.errors import CheckpointError

if TYPE_CHECKING:
    import torch


def loaded(architecture: Path, state: object, device: str = "cpu") -> torch.nn.Module:
    """The worker's one model of `architecture`, carrying `state`, in eval mode.

    To be read: the next call writes over its weights, but over nothing else; code that may
    write gets a `lent` one. Raises `CheckpointError` if `state` does not fit.
    """
    model = live_model(architecture, device)
    load_(model, state)
    return model.eval()


def lent(architecture: Path, state: object, device: str = "cpu") -> torch.nn.Module:
    """As `loaded`, for a user's code: whatever it does to this model, the next one is whole.

    The weights are the worker's, in new parameters, under new modules with buffers and config
    of their own: what is zeroed, trained, cast, pruned, hooked or replaced ends here. Costs 5 ms
    for a model of 2 layers, 17 ms for 24, whatever their width.
    """
    import torch

    model = loaded(architecture, state, device)
    weights = {
        id(weight): torch.nn.Parameter(weight.data, requires_grad=False)
        for weight in model.parameters()
    }
    return copy.deepcopy(model, weights)


@cache
def live_model(architecture: Path, device: str) -> torch.nn.Module:
    """A causal language model in float32 with undefined weights, no gradients."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig
    from transformers.initialization import no_init_weights

    config = AutoConfig.from_pretrained(architecture)
    # Initial values would cost seconds, draw from torch's global stream and be written over.
    with torch.random.fork_rng(devices=[]), no_init_weights():
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    model.tie_weights()
    if (architecture / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(architecture)
    live: torch.nn.Module = model
    return live.requires_grad_(False).to(device)


def load_(model: torch.nn.Module, state: object) -> None:
    """Copies `state` (name -> tensor, any dtype) into `model`, all of it or, on error, nothing.

    Of weights that the model ties, any one name is enough; if several are given they must be
    equal. Raises `CheckpointError` for what is no state dict, unknown or missing names, other
    shapes, and tied weights that differ.
    """
    import torch

    if not isinstance(state, Mapping):
        raise CheckpointError(
            f"The genome expresses {type(state).__name__}, the fitness expected a model's state "
            "dict (name -> tensor); use a fitness that fits this kind of genome."
        )
    own: dict[str, torch.Tensor] = dict(model.state_dict())
    if unknown := [name for name in state if name not in own]:
        raise CheckpointError(
            f"The state dict has {_some(unknown)} that the model lacks; score it with the "
            "architecture that it was made for."
        )
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            raise CheckpointError(
                f"{name} has shape {tuple(tensor.shape)} in the state dict, "
                f"{tuple(own[name].shape)} in the model; score it with the architecture that it "
                "was made for."
            )
    missing = []
    for names in _tied(own):
        given = [name for name in names if name in state]
        missing += [] if given else [names[0]]
        for twin in given[1:]:
            first, second = state[given[0]], state[twin]
            if first.data_ptr() != second.data_ptr() and not torch.equal(first, second):
                raise CheckpointError(
                    f"{given[0]} and {twin} differ in the state dict, but the model ties them; "
                    "give one of them, or set tie_word_embeddings to false in config.json."
                )
    if missing:
        raise CheckpointError(
            f"The state dict lacks {_some(missing)}; express every tensor of the model."
        )
    with torch.no_grad():
        for name, tensor in state.items():
            own[name].copy_(tensor)


def _tied(own: Mapping[str, torch.Tensor]) -> Iterable[list[str]]:
    """The names of `own`, grouped by the memory that they share."""
    groups: dict[object, list[str]] = {}
    for name, tensor in own.items():
        groups.setdefault(tensor.data_ptr() if tensor.numel() else name, []).append(name)
    return groups.values()


def _some(names: list[str]) -> str:
    """The first names of a list for a message."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
