"""A live causal model taken apart: into its blocks, through one block, out by its head.

All of it is transformers' own forward, with what is not wanted replaced for the time of one
call: the blocks on the way in and out, a removed part inside a block. So embeddings, masks,
rotary tables, final norm and soft caps are the model's, whatever its family. Knows no level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from evolve.errors import CheckpointError
from evolve.genomes.compression.anatomy import Anatomy, Block, Part
from fitness.live import load_

if TYPE_CHECKING:
    import torch

PROBE = (0, 1, 0, 1)  # tokens that every vocabulary has, to learn what modules return


class Call(NamedTuple):
    """With what the model calls a block, beside the hidden states."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class Entry(NamedTuple):
    """Sequences on their way in: tokens (s, t), hidden states (s, t, d), a call a block."""

    ids: torch.Tensor
    hidden: torch.Tensor
    calls: tuple[Call, ...]


class _Inside(Exception):
    """All blocks have been called; what comes after is not wanted."""


@dataclass(frozen=True, eq=False)
class Body:
    """The dense model. Build it with `body_of`; every method leaves it as it was.

    `muted[b][part]`: what returns zeros when that part is removed: the part, or its output
    projection where the part adds something of its own. `idle[b]`: without both parts the block
    changes nothing. `lengths`: of the tuple that a module returns, 0 for a tensor.
    """

    model: torch.nn.Module
    names: tuple[str, ...]  # of the blocks
    blocks: tuple[torch.nn.Module, ...]
    muted: tuple[Mapping[Part, torch.nn.Module], ...]
    idle: tuple[bool, ...]
    lengths: Mapping[torch.nn.Module, int]

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.model.parameters()).dtype

    def logits(self, ids: torch.Tensor) -> torch.Tensor:
        """(s, t, v): what the dense model predicts, by its own forward."""
        found: torch.Tensor = self.model(input_ids=ids, use_cache=False).logits
        return found

    def enter(self, ids: torch.Tensor) -> Entry:
        """`ids` (s, t) embedded, and what the model hands to each block."""
        hidden: list[torch.Tensor] = []
        calls: list[Call] = []

        def note(block: torch.nn.Module, call: Call) -> Any:
            states, *args = call.args
            hidden.append(states)
            calls.append(Call(tuple(args), call.kwargs))
            if len(calls) == len(self.blocks):
                raise _Inside
            return _returned(states, self.lengths[block])

        with ExitStack() as stack:
            for block in self.blocks:
                stack.enter_context(_standing_in(block, note))
            try:
                self.logits(ids)
            except _Inside:
                return Entry(ids, hidden[0], tuple(calls))
        raise CheckpointError(
            f"{type(self.model).__name__} called {len(calls)} of its {len(self.blocks)} blocks; "
            "pass the names of the blocks that it runs."
        )

    def step(
        self,
        block: int,
        hidden: torch.Tensor,
        call: Call,
        weights: Mapping[str, torch.Tensor],
        removed: tuple[Part, ...] = (),
    ) -> torch.Tensor:
        """(s, t, d) after one block with `weights` (by their names in the block) for its own.

        A removed part costs nothing, and neither does a block without parts.
        """
        from torch.func import functional_call

        if len(removed) == len(Part) and self.idle[block]:
            return hidden

        def zeros(module: torch.nn.Module, call: Call) -> Any:
            return _returned(hidden.new_zeros(hidden.shape), self.lengths[module])

        module = self.blocks[block]
        with ExitStack() as stack:
            for part in removed:
                stack.enter_context(_standing_in(self.muted[block][part], zeros))
            arguments = (hidden, *call.args)
            found = functional_call(module, dict(weights), arguments, dict(call.kwargs))
        out: torch.Tensor = found[0] if isinstance(found, tuple) else found
        return out

    def leave(self, ids: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """(s, t, v) logits of `hidden`, the states after the last block."""

        def give(block: torch.nn.Module, call: Call) -> Any:
            return _returned(hidden, self.lengths[block])

        with ExitStack() as stack:
            for block in self.blocks:
                stack.enter_context(_standing_in(block, give))
            return self.logits(ids)


@lru_cache(maxsize=1)
def body_of(anatomy: Anatomy, device: str, dtype: str) -> Body:
    """The worker's one dense model of `anatomy`, computing in `dtype`, torch's word.

    Its own, as that of `fitness.live` is written over by whoever scores a state dict.
    """
    import torch

    model = _dense(anatomy, device, {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype])
    modules = dict(model.named_modules())
    parts = [{part: _home(modules, block, part) for part in Part} for block in anatomy.blocks]
    ends = [
        {part: modules[block.part(part)[-1].name] for part in Part} for block in anatomy.blocks
    ]
    blocks = tuple(modules[block.name] for block in anatomy.blocks)
    lengths: dict[torch.nn.Module, int] = {}

    def note(module: torch.nn.Module, given: Any, output: Any) -> None:
        lengths[module] = len(output) if isinstance(output, tuple) else 0

    watched = (*blocks, *(module for each in (*parts, *ends) for module in each.values()))
    ids = torch.tensor([PROBE], device=device)
    with torch.inference_mode():
        with ExitStack() as stack:
            for module in watched:
                stack.callback(module.register_forward_hook(note).remove)
            model(input_ids=ids, use_cache=False)
        names = tuple(block.name for block in anatomy.blocks)
        body = Body(model, names, blocks, (), (False,) * len(blocks), lengths)
        entry = body.enter(ids)
        muted = tuple(
            {part: _muted(body, b, entry, parts[b][part], ends[b][part]) for part in Part}
            for b in range(len(blocks))
        )
        body = replace(body, muted=muted)
        idle = tuple(
            torch.equal(body.step(b, entry.hidden, call, {}, tuple(Part)), entry.hidden)
            for b, call in enumerate(entry.calls)
        )
    return replace(body, idle=idle)


def _home(modules: Mapping[str, torch.nn.Module], block: Block, part: Part) -> torch.nn.Module:
    """The child of `block` that holds the linear layers of `part`."""
    own = block.part(part)[-1].name.removeprefix(f"{block.name}.")
    return modules[f"{block.name}.{own.partition('.')[0]}"]


def _muted(
    body: Body, b: int, entry: Entry, home: torch.nn.Module, end: torch.nn.Module
) -> torch.nn.Module:
    """`home`, if it returns zeros when its output projection `end` does; else `end`."""
    found = []

    def note(module: torch.nn.Module, given: Any, output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)

    handle = home.register_forward_hook(note)
    try:
        muted = replace(body, muted=({Part.MLP: end},) * len(body.blocks))
        muted.step(b, entry.hidden, entry.calls[b], {}, (Part.MLP,))
    finally:
        handle.remove()
    return end if any(each.any() for each in found) else home


def _dense(anatomy: Anatomy, device: str, dtype: torch.dtype) -> torch.nn.Module:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    config = AutoConfig.from_pretrained(anatomy.source.path)
    # Initial values would cost seconds, draw from torch's global stream and be written over.
    with torch.random.fork_rng(devices=[]), no_init_weights():
        built = AutoModelForCausalLM.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    model: torch.nn.Module = built
    built.tie_weights()
    entries = anatomy.source.entries
    load_(model, {anatomy.live(name): each for name, each in anatomy.source.tensors(entries)})
    return model.requires_grad_(False).eval().to(device)


def _returned(tensor: torch.Tensor, length: int) -> Any:
    """`tensor` as a module returns it: by itself, or the first of a tuple."""
    return (tensor, *(None,) * (length - 1)) if length else tensor


@contextmanager
def _standing_in(
    module: torch.nn.Module, forward: Callable[[torch.nn.Module, Call], Any]
) -> Iterator[None]:
    """Inside, calling `module` gives `forward(module, what it was called with)`."""

    def other(*args: Any, **kwargs: Any) -> Any:
        return forward(module, Call(args, kwargs))

    module.forward = other  # hides the class's; torch's own call and hooks stay
    try:
        yield
    finally:
        del module.forward
