"""Another activation, normalisation or pooling with the same interface in a layer's place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeGuard

import libcst as cst
import numpy as np

from evolve.errors import Infertile
from operators.code.flow import Flow, short
from operators.code.layers import ACTIVATIONS, FUNCTIONS, NORMS, SIGNATURES
from operators.code.mutator import Edit, Mutator, Site, edit, sound
from operators.code.tree import argument, call, code, dotted, kind, prefix, whole
from operators.code.view import View

_LAYERS = ACTIVATIONS[:10]
_OF_TORCH = ("relu", "tanh", "sigmoid", "selu")
_OF_TENSORS = ("relu", "tanh", "sigmoid")
_POOLS = (
    ("MaxPool2d", "AvgPool2d"),
    ("AdaptiveMaxPool2d", "AdaptiveAvgPool2d"),
    ("max_pool2d", "avg_pool2d"),
    ("adaptive_max_pool2d", "adaptive_avg_pool2d"),
)


def activations() -> Mutator:
    """Another nonlinearity: `nn.ReLU()`, `F.relu(x)`, `activation = nn.ReLU`."""
    return Mutator("activation", _activations)


def normalisations() -> Mutator:
    """Batch, group, instance or layer normalisation, or none."""
    return Mutator("normalisation", _normalisations)


def poolings() -> Mutator:
    """The mean for the maximum, or the reverse."""
    return Mutator("pooling", _poolings)


def _activations(view: View) -> Iterator[Site]:
    called = {node.func for node in view.nodes if isinstance(node, cst.Call)}
    for node in view.nodes:
        if isinstance(node, cst.Call) and kind(node) in ACTIVATIONS and "." in prefix(node):
            yield _another(node, [f"{prefix(node)}{name}()" for name in _LAYERS])
        elif isinstance(node, cst.Call) and kind(node) in FUNCTIONS:
            front, given = prefix(node), ", ".join(code(a.value) for a in node.args[:1])
            if given and front in ("F.", "nn.functional.", "torch.nn.functional."):
                yield _another(node, [f"{front}{name}({given})" for name in FUNCTIONS[:10]])
            elif given and front == "torch.":
                yield _another(node, [f"torch.{name}({given})" for name in _OF_TORCH])
            elif not node.args and isinstance(node.func, cst.Attribute):
                tensor = code(node.func.value)
                yield _another(node, [f"{tensor}.{name}()" for name in _OF_TENSORS])
        elif _is_class(node) and node not in called:
            yield _class(node)


def _is_class(node: cst.CSTNode) -> TypeGuard[cst.Attribute]:
    """Whether `node` is `nn.ReLU` or another of its kind."""
    named = isinstance(node, cst.Attribute) and node.attr.value in ACTIVATIONS
    return named and bool(dotted(node))


def _another(node: cst.Call, texts: Sequence[str]) -> Site:
    def site(rng: np.random.Generator) -> Edit:
        others = [call(text) for text in texts]
        others = [each for each in others if kind(each) != kind(node)]
        new = others[rng.integers(len(others))]
        return edit(node, new, f"{short(node)} -> {short(new)}")

    return site


def _class(node: cst.Attribute) -> Site:
    def site(rng: np.random.Generator) -> Edit:
        names = [name for name in _LAYERS if name != node.attr.value]
        name = names[rng.integers(len(names))]
        new = node.with_changes(attr=cst.Name(name))
        return edit(node, new, f"{node.attr.value} -> {name}")

    return site


def _normalisations(view: View) -> Iterator[Site]:
    shapes = {
        call: before for _, _, walk in sound(view).values() for call, before, _ in walk.places
    }
    for node in view.nodes:
        if isinstance(node, cst.Call) and "." in prefix(node):
            flow = shapes.get(node, Flow())
            if kind(node) in NORMS or (kind(node) == "Identity" and flow.width is not None):
                yield _norm(node, flow, view)


def _norm(node: cst.Call, flow: Flow, view: View) -> Site:
    def site(rng: np.random.Generator) -> Edit:
        front, name = prefix(node), kind(node)
        param = {"GroupNorm": "num_channels", "LayerNorm": "normalized_shape"}
        given = argument(node, param.get(name, "num_features"), SIGNATURES.get(name, ()))
        text = code(given) if given is not None else repr(flow.width)
        width = flow.width if given is None else whole(given, view.constants)
        if name in ("BatchNorm2d", "InstanceNorm2d") or flow.flat is False:
            parts = [each for each in (2, 4, 8) if width and width % each == 0 and each < width]
            groups = parts[rng.integers(len(parts))] if parts else 1
            texts = [
                f"BatchNorm2d({text})",
                f"GroupNorm({groups}, {text})",
                f"InstanceNorm2d({text}, affine=True)",
            ]
        elif name in ("BatchNorm1d", "LayerNorm") or flow.flat:
            texts = [f"BatchNorm1d({text})", f"LayerNorm({text})"]
        else:
            texts = []
        others = [call(front + each) for each in [*texts, "Identity()"]]
        others = [each for each in others if kind(each) != name]
        if not others:
            raise Infertile("nothing is known of the normalised shape.")
        new = others[rng.integers(len(others))]
        return edit(node, new, f"{short(node)} -> {short(new)}")

    return site


def _poolings(view: View) -> Iterator[Site]:
    other = {a: b for pair in _POOLS for a, b in (pair, pair[::-1])}
    for node in view.nodes:
        if isinstance(node, cst.Call) and kind(node) in other and "." in code(node.func):
            yield _pool(node, other[kind(node)])


def _pool(node: cst.Call, name: str) -> Site:
    def site(rng: np.random.Generator) -> Edit:
        named = {arg.keyword.value for arg in node.args if arg.keyword}
        if named & {"dilation", "return_indices", "count_include_pad", "divisor_override"}:
            raise Infertile(f"{kind(node)} has arguments that {name} does not take.")
        assert isinstance(node.func, cst.Attribute)
        new = node.with_changes(func=node.func.with_changes(attr=cst.Name(name)))
        return edit(node, new, f"{short(node)} -> {short(new)}")

    return site
