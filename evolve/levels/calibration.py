"""The second moments of every linear layer's inputs, block by block through the dense model.

In memory: the model in float32, the hidden states of one block (tokens x width x 4 bytes), and
the sums of one block. Layers that are fed the very same tensor (q, k, v) share one sum. What a
block is called with is taken from the model's own forward, so no architecture is known here;
that a block's output is the next one's input is checked. Knows no level.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evolve.engine.workers import threads_pinned
from evolve.errors import GenomeError
from evolve.genomes.calm import no_progress_bars
from evolve.genomes.compression.anatomy import Anatomy, Block
from evolve.levels.hessian import add_

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Inputs:
    """What one sum is of: `names` of linear layers with the same input, all of one block.

    `hessian`: (columns, columns) float32, the mean of x x^T over the calibration tokens.
    """

    names: tuple[str, ...]
    hessian: torch.Tensor


class _Stop(Exception):
    """Ends a forward pass whose rest is not wanted."""


def second_moments(
    anatomy: Anatomy, tokens: np.ndarray, wanted: Collection[str], threads: int = 1
) -> Iterator[Inputs]:
    """The inputs of the linear layers called `wanted`, in model order; it ends with the last.

    `tokens`: (n, length) int64. Bits depend on `threads`. Raises `GenomeError` if the blocks are
    not a chain: something else feeds them.
    """
    import torch

    with threads_pinned(threads), torch.no_grad():
        model = _loaded(anatomy)
        blocks = [model.get_submodule(block.name) for block in anatomy.blocks]
        rows = torch.tensor(tokens)
        calls = _calls(model, blocks, rows[:1])
        chain = [call.hidden for call in _calls(model, blocks, rows[-1:])]
        states = [_entered(model, blocks[0], row[None]) for row in rows]
    for i, (block, module) in enumerate(zip(anatomy.blocks, blocks)):
        left = {linear.name for each in anatomy.blocks[i:] for linear in each.linears}
        if not left & set(wanted):
            return
        with threads_pinned(threads), torch.no_grad():
            if not torch.allclose(states[-1], chain[i], rtol=1e-3, atol=1e-4):
                raise GenomeError(
                    f"{block.name} of {anatomy.source.name} is not fed by the block before it "
                    "alone; a level database cannot be calibrated block by block for this "
                    "architecture."
                )
            found = list(_through(model, block, module, calls[i], states, wanted))
        yield from found


def _loaded(anatomy: Anatomy) -> torch.nn.Module:
    import torch
    from transformers import AutoModelForCausalLM

    with no_progress_bars():
        model: Any = AutoModelForCausalLM.from_pretrained(anatomy.source.path, dtype=torch.float32)
    built: torch.nn.Module = model.eval()
    return built


@dataclass(frozen=True, eq=False)
class _Call:
    """How the model called a block: with `hidden`, then these."""

    hidden: torch.Tensor
    positional: tuple[Any, ...]
    named: dict[str, Any]


def _calls(
    model: torch.nn.Module, blocks: Sequence[torch.nn.Module], row: torch.Tensor
) -> list[_Call]:
    calls = []

    def note(module: torch.nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        rest = dict(named)
        hidden = args[0] if args else rest.pop("hidden_states")
        calls.append(_Call(hidden.clone(), args[1:], rest))

    handles = [each.register_forward_pre_hook(note, with_kwargs=True) for each in blocks]
    try:
        model(input_ids=row, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _entered(model: torch.nn.Module, first: torch.nn.Module, row: torch.Tensor) -> torch.Tensor:
    """What `model` feeds its first block for the tokens `row` (1, length)."""
    caught = []

    def stop(module: torch.nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        caught.append(args[0] if args else named["hidden_states"])
        raise _Stop

    handle = first.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        model(input_ids=row, use_cache=False)
    except _Stop:
        pass
    finally:
        handle.remove()
    hidden: torch.Tensor = caught[0]
    return hidden


def _through(
    model: torch.nn.Module,
    block: Block,
    module: torch.nn.Module,
    call: _Call,
    states: list[torch.Tensor],
    wanted: Collection[str],
) -> Iterator[Inputs]:
    """The inputs of `block`; `states`, its own inputs by sequence, become its outputs."""
    import torch

    linears = {linear.name: model.get_submodule(linear.name) for linear in block.linears}
    groups: list[tuple[str, ...]] = []
    if not linears.keys().isdisjoint(wanted):
        shared = _shared(linears, lambda: _out(module, call, states[0]))
        groups = [group for group in shared if not set(group).isdisjoint(wanted)]
    width = {linear.name: linear.columns for linear in block.linears}
    sums = {group[0]: torch.zeros(width[group[0]], width[group[0]]) for group in groups}
    n_tokens = 0

    def count(name: str, inputs: torch.Tensor) -> None:
        add_(sums[name], inputs)

    with _watched({name: linears[name] for name in sums}, count):
        for i, hidden in enumerate(states):
            states[i] = _out(module, call, hidden)
            n_tokens += hidden.shape[1]
    for group in groups:
        yield Inputs(group, sums.pop(group[0]) / n_tokens)


def _out(module: torch.nn.Module, call: _Call, hidden: torch.Tensor) -> torch.Tensor:
    out = module(hidden, *call.positional, **call.named)
    found: torch.Tensor = out[0] if isinstance(out, tuple) else out
    return found


def _shared(
    linears: dict[str, torch.nn.Module], run: Callable[[], object]
) -> list[tuple[str, ...]]:
    """The names of `linears`, those together that `run` feeds the same tensor."""
    seen: list[tuple[torch.Tensor, list[str]]] = []  # the tensors live on: no address twice

    def note(name: str, inputs: torch.Tensor) -> None:
        for known, names in seen:
            if known.data_ptr() == inputs.data_ptr() and known.shape == inputs.shape:
                names.append(name)
                return
        seen.append((inputs, [name]))

    with _watched(linears, note):
        run()
    return [tuple(names) for _, names in seen]


@contextmanager
def _watched(
    linears: dict[str, torch.nn.Module], see: Callable[[str, torch.Tensor], None]
) -> Iterator[None]:
    """`see(name, inputs)` at every call of one of `linears`."""

    def hook(name: str) -> Callable[[torch.nn.Module, tuple[Any, ...]], None]:
        return lambda module, args: see(name, args[0])

    handles = [each.register_forward_pre_hook(hook(name)) for name, each in linears.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
