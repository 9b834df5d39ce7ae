"""Widen or narrow a layer: its output and all that takes it. Knows no training.

The edit changes one number, a layer's output or a name such as `width = 32`; fitting the chain
(`flow`) pairs the rest.
"""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst
import numpy as np

from evolve.errors import Infertile
from operators.code.flow import short
from operators.code.layers import widths
from operators.code.mutator import Edit, Mutator, Site, edit, sound
from operators.code.tree import argument, code, expression, kind, whole, with_argument
from operators.code.view import View

LARGEST = 1024  # channels or features
_STEPS = (5 / 4, 3 / 2, 2.0)


def widening() -> Mutator:
    """A layer by 1.25, 1.5 or 2 times as wide."""
    return Mutator("widen", _wider)


def narrowing() -> Mutator:
    """A layer narrower by as much."""
    return Mutator("narrow", _narrower)


def _wider(view: View) -> Iterator[Site]:
    return _sites(view, up=True)


def _narrower(view: View) -> Iterator[Site]:
    return _sites(view, up=False)


def _sites(view: View, up: bool) -> Iterator[Site]:
    names: set[str] = set()
    for _, _, walk in sound(view).values():
        for call, *_ in walk.places:
            role = widths(kind(call), view.classes)
            if role is None:
                continue
            for name in (role.input, role.output):
                names |= _names(argument(call, name, role.order))
            out = argument(call, role.output, role.order) if role.output else None
            if call in walk.taken and not isinstance(out, cst.Name):
                yield _layer(call, view, up)
    yield from _shared(view, names, up)


def _layer(call: cst.Call, view: View, up: bool) -> Site:
    def site(rng: np.random.Generator) -> Edit:
        role = widths(kind(call), view.classes)
        assert role is not None
        old = whole(argument(call, role.output, role.order), view.constants)
        groups = whole(argument(call, "groups", role.order), view.constants) or 1
        if old is None or groups > 1:
            raise Infertile("the layer's width is not a number that may change alone.")
        new = with_argument(call, role.output, role.order, _width(old, up, rng))
        return edit(call, new, f"{short(call)} -> {short(new)}")

    return site


def _shared(view: View, names: set[str], up: bool) -> Iterator[Site]:
    """Assignments and defaults of names that layers take as widths."""
    for node in view.nodes:
        if isinstance(node, cst.Assign) and len(node.targets) == 1:
            target, value = node.targets[0].target, node.value
        elif isinstance(node, cst.Param) and node.default is not None:
            target, value = node.name, node.default
        else:
            continue
        if isinstance(target, cst.Name) and target.value in names & view.constants.keys():
            yield _named(target.value, value, view, up)


def _named(name: str, value: cst.BaseExpression, view: View, up: bool) -> Site:
    def site(rng: np.random.Generator) -> Edit:
        old = whole(value, view.constants)
        if old is None:
            raise Infertile(f"{name} is no whole number.")
        new = _width(old, up, rng)
        return edit(value, expression(new), f"{name} = {code(value)} -> {new}")

    return site


def _width(old: int, up: bool, rng: np.random.Generator) -> int:
    factor = _STEPS[rng.integers(len(_STEPS))]
    new = old * factor if up else old / factor
    new = 2 * round(new / 2) if new >= 8 else round(new)
    new = max(old + 1, new) if up else min(old - 1, new)
    if not 1 <= new <= LARGEST:
        raise Infertile(f"a width of {old} can go no further.")
    return int(new)


def _names(node: cst.CSTNode | None) -> set[str]:
    if node is None:
        return set()
    if isinstance(node, cst.Name):
        return {node.value}
    return {name for child in node.children for name in _names(child)}
