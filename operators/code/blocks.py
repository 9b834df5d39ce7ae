"""Insert or delete a layer, a residual block or a squeeze-excite block.

What a block needs is written into the region once, as a class. Squeeze-excitation: Hu et al.
2018, "Squeeze-and-excitation networks"; residual: He et al. 2016, "Deep residual learning".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import libcst as cst
import numpy as np

from evolve.errors import Infertile
from operators.code.chains import Container, containers, elements
from operators.code.flow import Flow, short
from operators.code.layers import ACTIVATIONS, NORMS, widths
from operators.code.mutator import Edit, Mutator, Site, edit, sound
from operators.code.tree import argument, call, code, inserted, kind
from operators.code.view import View

_ACTIVE = ("ReLU", "GELU", "SiLU", "ELU")
_SHAPELESS = {*NORMS, *ACTIVATIONS, "Dropout", "Dropout2d"}
_STAYING = {"Flatten", "Unflatten", "Sequential"}

_RESIDUAL_CONV = """
class ResidualConv({nn}Module):
    def __init__(self, channels):
        super().__init__()
        self.body = {nn}Sequential(
            {nn}Conv2d(channels, channels, 3, padding=1),
            {nn}BatchNorm2d(channels),
            {nn}ReLU(),
        )

    def forward(self, x):
        return x + self.body(x)
"""
_RESIDUAL_ROWS = """
class ResidualLinear({nn}Module):
    def __init__(self, features):
        super().__init__()
        self.body = {nn}Sequential(
            {nn}Linear(features, features),
            {nn}ReLU(),
        )

    def forward(self, x):
        return x + self.body(x)
"""
_SQUEEZE = """
class SqueezeExcite({nn}Module):
    def __init__(self, channels):
        super().__init__()
        hidden = max(1, channels // 4)
        self.gate = {nn}Sequential(
            {nn}AdaptiveAvgPool2d(1),
            {nn}Conv2d(channels, hidden, 1),
            {nn}ReLU(),
            {nn}Conv2d(hidden, channels, 1),
            {nn}Sigmoid(),
        )

    def forward(self, x):
        return x * self.gate(x)
"""


def layers() -> Mutator:
    """A layer more: a convolution, a linear layer, a normalisation, an activation, dropout."""
    return Mutator("insert", _layers)


def blocks() -> Mutator:
    """A residual or squeeze-excite block more."""
    return Mutator("block", _blocks)


def deletions() -> Mutator:
    """A layer or block less."""
    return Mutator("delete", _deletions)


def _layers(view: View) -> Iterator[Site]:
    yield from _insertions(view, blocks=False)


def _blocks(view: View) -> Iterator[Site]:
    yield from _insertions(view, blocks=True)


def _insertions(view: View, blocks: bool) -> Iterator[Site]:
    if view.nn is None:
        return
    flows: dict[cst.CSTNode, Flow] = {}
    for _, _, walk in sound(view).values():
        flows |= {place: after for place, _, after in walk.places[:-1]}  # not after the last
    seats = _seats(view)
    for node, flow in flows.items():
        if (flow.width is not None or not blocks) and node in seats:
            yield _insertion(node, seats[node], flow, blocks, view)


def _seats(view: View) -> Mapping[cst.CSTNode, tuple[Container, int] | None]:
    """Where each layer stands: its container and position, or None for `self.x = layer`."""
    found: dict[cst.CSTNode, tuple[Container, int] | None] = {}
    for box in containers(view):
        found |= {each: (box, i) for i, each in enumerate(elements(box))}
    for node in view.nodes:
        if isinstance(node, cst.Assign) and isinstance(node.targets[0].target, cst.Attribute):
            found.setdefault(node.value, None)
    return found


def _insertion(
    node: cst.CSTNode, seat: tuple[Container, int] | None, flow: Flow, blocks: bool, view: View
) -> Site:
    def site(rng: np.random.Generator) -> Edit:
        assert isinstance(node, cst.Call)
        texts, classes = _offer(flow, blocks, view.nn or "", rng)
        new = [call(text) for text in texts]
        told = f"{' and '.join(short(each) for each in new)} after {short(node)}"
        if seat is None:
            both = call(f"{view.nn}Sequential({', '.join([code(node), *texts])})")
            return Edit({node: both}, told, classes)
        box, at = seat
        return Edit({box: _with(box, at + 1, new)}, told, classes)

    return site


def _offer(
    flow: Flow, blocks: bool, nn: str, rng: np.random.Generator
) -> tuple[list[str], Mapping[str, str]]:
    """Layers to put where `flow` passes, and the classes they need."""
    w = flow.width
    if blocks and w is not None:
        if flow.flat:
            return [f"ResidualLinear({w})"], {"ResidualLinear": _RESIDUAL_ROWS.format(nn=nn)}
        if rng.random() < 0.5:
            return [f"ResidualConv({w})"], {"ResidualConv": _RESIDUAL_CONV.format(nn=nn)}
        return [f"SqueezeExcite({w})"], {"SqueezeExcite": _SQUEEZE.format(nn=nn)}
    active = f"{nn}{_ACTIVE[rng.integers(len(_ACTIVE))]}()"
    offers = [[active], [f"{nn}Dropout(0.1)"]]
    if w is not None and flow.flat:
        offers += [[f"{nn}Linear({w}, {w})", active], [f"{nn}BatchNorm1d({w})"]]
        offers += [[f"{nn}LayerNorm({w})"]]
    if w is not None and flow.flat is False:
        offers += [[f"{nn}Conv2d({w}, {w}, 3, padding=1)", active]]
        offers += [[f"{nn}Conv2d({w}, {w}, 3, padding=1, groups={w})", active]]
        offers += [[f"{nn}Conv2d({w}, {w}, 1)", active], [f"{nn}BatchNorm2d({w})"]]
    return offers[rng.integers(len(offers))], {}


def _deletions(view: View) -> Iterator[Site]:
    known: dict[cst.CSTNode, bool] = {}  # a layer, and whether its widths must stay
    for _, _, walk in sound(view).values():
        last = walk.makers[-1] if walk.makers else None
        for place, before, after in walk.places:
            open_ends = before.width is None or after.width is None
            known[place] = place is last or (open_ends and _makes_other(place, view))
    for node, seat in _seats(view).items():
        if not isinstance(node, cst.Call) or kind(node) in _STAYING or known.get(node, False):
            continue
        if node in known or kind(node) in _SHAPELESS:
            yield _deletion(node, seat, view)


def _makes_other(node: cst.Call, view: View) -> bool:
    """Whether a layer leaves another width than it takes, by the words."""
    role = widths(kind(node), view.classes)
    if role is None or not role.output:
        return False
    ends = [argument(node, name, role.order) for name in (role.input, role.output)]
    return len({code(end) for end in ends if end is not None}) != 1


def _deletion(node: cst.Call, seat: tuple[Container, int] | None, view: View) -> Site:
    def site(rng: np.random.Generator) -> Edit:
        if seat is None:
            if kind(node) == "Identity" or view.nn is None:
                raise Infertile("there is nothing to delete.")
            return edit(node, call(f"{view.nn}Identity()"), f"without {short(node)}")
        box, at = seat
        if len(elements(box)) < 2:
            raise Infertile(f"{short(node)} is the only layer there.")
        return edit(box, _without(box, at), f"without {short(node)}")

    return site


def _with(box: Container, at: int, new: Sequence[cst.Call]) -> Container:
    """`box` with layers before position `at`."""
    if isinstance(box, cst.Call):
        args: Sequence[cst.Arg] = box.args
        for i, each in enumerate(new):
            args = inserted(args, at + i, cst.Arg(each))
        return box.with_changes(args=args)
    return _listed(box, [*elements(box)[:at], *new, *elements(box)[at:]])


def _without(box: Container, at: int) -> Container:
    if isinstance(box, cst.List):
        return _listed(box, [*elements(box)[:at], *elements(box)[at + 1 :]])
    args = [*box.args[:at], *box.args[at + 1 :]]
    if at == len(args):  # the last is gone: what is last now ends as it did
        args[-1] = args[-1].with_changes(comma=box.args[-1].comma)
    return box.with_changes(args=args)


def _listed(box: cst.List, values: Sequence[cst.BaseExpression]) -> cst.List:
    comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    old = [each.comma for each in box.elements if isinstance(each.comma, cst.Comma)]
    between = old[0] if old else comma
    rows = [cst.Element(value, comma=between) for value in values]
    rows[-1] = rows[-1].with_changes(comma=box.elements[-1].comma)
    return box.with_changes(elements=rows)
