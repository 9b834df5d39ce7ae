"""The mergekit configuration that gives a recipe's weights (mergekit 0.1.5, `mergekit-yaml`).

One slice a layer group. mergekit takes tensors before the layers with the first slice's
settings and those behind them with the last one's, as `evolve.genomes.layout` groups them.
(Measured on Llama, Mistral, Qwen2, Qwen3, Gemma2, GPT-2, Phi-3. For an architecture that
mergekit only infers, such as OPT, it may count a final norm to the first slice.)
Tensor kinds become filters: mergekit takes the first entry whose filter is part of the tensor's
name, so norms come first, attention second, and the entry without filter takes the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from evolve.genomes.checkpoint import Source
from evolve.genomes.layout import Cell, Kind
from evolve.genomes.merge import MergeRecipe, MergeSpace, Settings
from evolve.genomes.methods import Method

RANDOM = (Method.DARE_TIES, Method.DARE_LINEAR, Method.DELLA)
_WORDS = {Kind.NORM: ("norm", "ln_"), Kind.ATTENTION: ("attn", "attention")}
_ORDER = (Kind.NORM, Kind.ATTENTION, Kind.MLP, Kind.ALL)  # of filters; the last takes the rest
Filtered: TypeAlias = Sequence[tuple[str | None, float]]  # filter, value


def mergekit_yaml(recipe: MergeRecipe) -> str:
    """The text of `mergekit_config.yml`; paths of base and experts are absolute."""
    space = recipe.space
    models = inputs(space)
    donor = space.experts[0] if space.method in _WITHOUT_BASE else space.base
    lines = [f"# {line}" for line in _preamble(space)]
    lines += [f"merge_method: {space.method.value}"]
    if space.method is not Method.KARCHER:
        lines += [f"base_model: {_reference(donor, space.base)}"]
    lines += ["dtype: float32", f"out_dtype: {space.dtype}", "slices:"]
    cells = recipe.cells()
    for group in sorted({cell.group for cell in cells}):
        mine = {cell: settings for cell, settings in cells.items() if cell.group == group}
        first = group * space.layers_per_group
        last = min(first + space.layers_per_group, space.layout.n_layers)
        lines += ["- sources:"]
        for i, model in enumerate(models):
            lines += [f"  - model: {_reference(model, space.base)}"]
            lines += [f"    layer_range: [{first}, {last}]"]
            lines += _parameters(mine, _place(space, i), "    ")
        lines += _parameters(mine, None, "  ")
    return "\n".join(lines) + "\n"


_WITHOUT_BASE = (Method.SLERP, Method.KARCHER)


def inputs(space: MergeSpace) -> tuple[Source, ...]:
    """The models that mergekit reads, in its order: the base first where it is one of them."""
    return space.experts if space.method in _WITHOUT_BASE else (space.base, *space.experts)


def command(space: MergeSpace) -> str:
    """What to type beside the file to rebuild the weights."""
    lora = " --lora-merge-cache CACHE --lora-merge-dtype float32"
    adapters = any(expert.adapter for expert in space.experts)
    return f"mergekit-yaml mergekit_config.yml OUT{lora if adapters else ''}"


def _preamble(space: MergeSpace) -> list[str]:
    lines = ["The recipe of this merge for mergekit 0.1.5; type", f"  {command(space)}"]
    if space.method in RANDOM:
        lines += [
            f"{space.method.value} drops task-vector elements at random. mergekit draws them from",
            "its own generator, so it gives another sample of the same recipe, not these weights.",
        ]
    return lines


def _place(space: MergeSpace, model: int) -> int | None:
    """Which of a tuple's values belongs to input `model`; -1: none, the base has no setting."""
    if space.method is Method.LINEAR or space.method in _WITHOUT_BASE:
        return model
    return model - 1


def _parameters(cells: Mapping[Cell, Settings], place: int | None, indent: str) -> list[str]:
    """The lines of a `parameters:` block; `place` None: those that all models share."""
    names = list(dict.fromkeys(name for settings in cells.values() for name in settings))
    lines: list[str] = []
    for name in names:
        values: dict[Cell, float] = {}
        for cell, settings in cells.items():
            value = settings[name]
            if place is None and not isinstance(value, tuple):
                values[cell] = value
            elif place is not None and place >= 0 and isinstance(value, tuple):
                values[cell] = value[place]
        if not values:
            continue
        if len(set(values.values())) == 1:
            lines.append(f"{indent}  {name}: {_number(next(iter(values.values())))}")
            continue
        lines.append(f"{indent}  {name}:")
        for words, value in filters(values):
            first = f"{indent}  - " + (f"filter: {json.dumps(words)}" if words else "")
            if words:
                lines += [first, f"{indent}    value: {_number(value)}"]
            else:
                lines += [f"{first}value: {_number(value)}"]
    return [f"{indent}parameters:", *lines] if lines else []


def filters(values: Mapping[Cell, float]) -> Filtered:
    """Entries (filter, value) by which mergekit gives every tensor of each cell its value."""
    wanted = {name: value for cell, value in values.items() for name in cell.tensors}
    entries: list[tuple[str | None, float]] = []
    for kind in _ORDER:
        for cell, value in values.items():
            if cell.kind is not kind:
                continue
            words = _WORDS.get(kind, (None,))
            met = [w for w in words if w is None or any(w in name for name in cell.tensors)]
            entries += [(word, value) for word in met]
    if all(resolve(name, entries) == value for name, value in wanted.items()):
        return entries
    # Names that the words do not tell apart: every tensor by its own name, longest first, as a
    # name may be part of another.
    return [(name, wanted[name]) for name in sorted(wanted, key=len, reverse=True)]


def resolve(name: str, entries: Filtered) -> float | None:
    """The value mergekit gives the tensor `name` (its `evaluate_setting`)."""
    return next((value for word, value in entries if word is None or word in name), None)


def _number(value: float) -> str:
    """`value` so that YAML 1.1 reads a float: it takes `1e-05` for a string."""
    text = repr(float(value))
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else text


def _reference(source: Source, base: Source) -> str:
    """`source` as mergekit names models: a path, or `base+adapter`.

    A path with a character that this notation uses (`+`, `@`) is given in mergekit's long form.
    """
    paths = [base.path, source.path] if source.adapter else [source.path]
    if not any(sign in str(path) for path in paths for sign in "+@"):
        return json.dumps("+".join(map(str, paths)), ensure_ascii=False)
    parts = zip(("model", "lora"), paths)
    return "{" + ", ".join(f"{role}: {_long(path)}" for role, path in parts) + "}"


def _long(path: Path) -> str:
    return f"{{path: {json.dumps(str(path), ensure_ascii=False)}}}"
