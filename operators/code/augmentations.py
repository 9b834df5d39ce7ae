"""A step more or less in how training images are varied: noise, shifts, contrast, lost pixels.

Works on a function with `augment` in its name that takes one batch (n, channels, height, width)
and ends by returning one. Knows no labels and no test image.
"""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst
import numpy as np

from operators.code.mutator import Edit, Mutator, Site, edit
from operators.code.tree import code
from operators.code.view import View

_OFFERS = {
    "noise": "{x} = {x} + 0.05 * {torch}.randn_like({x})",
    "shift": "{x} = {torch}.roll({x}, {torch}.randint(-1, 2, (2,)).tolist(), (2, 3))",
    "contrast": "{x} = {x} * (0.8 + 0.4 * {torch}.rand_like({x}[:, :1, :1, :1]))",
    "lost pixels": "{x} = {x} * ({torch}.rand_like({x}) > 0.05)",
}


def augmentations() -> Mutator:
    """One step more at the beginning, or one less."""
    return Mutator("augmentation", _sites)


def _sites(view: View) -> Iterator[Site]:
    torch = view.around.modules.get("torch")
    for node in view.nodes:
        if not (isinstance(node, cst.FunctionDef) and "augment" in node.name.value):
            continue
        lines = list(node.body.body)
        if len(node.params.params) != 1 or not isinstance(node.body, cst.IndentedBlock):
            continue
        x = node.params.params[0].name.value
        if torch and _returns(lines[-1]):
            yield _more(node.body, 1 if node.get_docstring() else 0, x, torch)
        for i, line in enumerate(lines[:-1]):
            if _assigns(line, x):
                yield _less(node.body, i)


def _more(body: cst.IndentedBlock, at: int, x: str, torch: str) -> Site:
    def site(rng: np.random.Generator) -> Edit:
        name = list(_OFFERS)[rng.integers(len(_OFFERS))]
        line = cst.parse_statement(_OFFERS[name].format(x=x, torch=torch))
        lines = [*body.body[:at], line, *body.body[at:]]
        return edit(body, body.with_changes(body=lines), f"augment: {name}")

    return site


def _less(body: cst.IndentedBlock, at: int) -> Site:
    def site(rng: np.random.Generator) -> Edit:
        lines = [*body.body[:at], *body.body[at + 1 :]]
        told = f"augment: without {code(body.body[at]).strip()}"
        return edit(body, body.with_changes(body=lines), told)

    return site


def _returns(line: cst.CSTNode) -> bool:
    return isinstance(line, cst.SimpleStatementLine) and isinstance(line.body[-1], cst.Return)


def _assigns(line: cst.CSTNode, x: str) -> bool:
    """Whether `line` is `x = ...`: without it the rest still stands."""
    if not isinstance(line, cst.SimpleStatementLine) or len(line.body) != 1:
        return False
    one = line.body[0]
    if not isinstance(one, cst.Assign) or len(one.targets) != 1:
        return False
    target = one.targets[0].target
    return isinstance(target, cst.Name) and target.value == x
