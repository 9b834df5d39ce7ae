"""Which layers follow each other: in a Sequential, a list of layers, or a straight `forward`.

Knows the order of calls, not their shapes. What it cannot follow is a gap, `None`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import libcst as cst

from operators.code.layers import ACTIVATIONS, KEEPING, SIGNATURES
from operators.code.tree import dotted, kind
from operators.code.view import View

Container: TypeAlias = cst.Call | cst.List


@dataclass(frozen=True, eq=False)
class Tied:
    """Steps around which the input is added or multiplied again: their ends are equal."""

    steps: tuple[Step, ...]


Step: TypeAlias = "cst.Call | Tied | None"


def chains(view: View) -> dict[str, tuple[Step, ...]]:
    """The chains of a region by a name that an edit within them keeps."""
    found: dict[str, tuple[Step, ...]] = {}
    used: set[cst.CSTNode] = set()
    for node in view.nodes:
        if isinstance(node, cst.ClassDef):
            steps = _Forward(node).steps
            if steps:
                found[f"{view.scope(node)}:{node.name.value}"] = steps
                used.update(_within(node, view))
    for box in containers(view):
        if box not in used:
            used.update(_within(box, view))
            place = view.scope(box)
            found[f"{place}/{sum(key.startswith(place + '/') for key in found)}"] = steps_of(box)
    return found


def containers(view: View) -> list[Container]:
    """Every Sequential and every list of layers, outer ones first."""
    return [node for node in view.nodes if _is_box(node)]  # type: ignore[misc]


def elements(box: Container) -> list[cst.BaseExpression]:
    """What stands in it, in order."""
    return [each.value for each in (box.args if isinstance(box, cst.Call) else box.elements)]


def steps_of(node: cst.BaseExpression) -> tuple[Step, ...]:
    """The steps of one layer, or of a container of them."""
    if isinstance(node, cst.List) or (isinstance(node, cst.Call) and _is_box(node)):
        return tuple(step for each in elements(node) for step in steps_of(each))
    if not isinstance(node, cst.Call):
        return (None,)
    inner = node.args[0].value if len(node.args) == 1 else None
    if isinstance(inner, cst.Call) and kind(node) not in SIGNATURES:
        return (Tied(steps_of(inner)),)  # Residual(Sequential(...))
    return (node,)


def _is_box(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.List):
        values = [each.value for each in node.elements]
        calls = [value for value in values if isinstance(value, cst.Call)]
        known = any(kind(each) in SIGNATURES or kind(each) in ACTIVATIONS for each in calls)
        return len(calls) == len(values) > 1 and known
    if not (isinstance(node, cst.Call) and kind(node) == "Sequential" and node.args):
        return False
    return all(arg.keyword is None and arg.star != "**" for arg in node.args)


def _within(node: cst.CSTNode, view: View) -> Iterator[cst.CSTNode]:
    for each in view.nodes:
        above: cst.CSTNode | None = each
        while above is not None and above is not node:
            above = view.parents[above]
        if above is node:
            yield each


class _Forward:
    """The steps of a class's `forward`, if it is straight: one tensor handed on."""

    def __init__(self, node: cst.ClassDef) -> None:
        methods = {
            each.name.value: each for each in node.body.body if isinstance(each, cst.FunctionDef)
        }
        self.steps: tuple[Step, ...] = ()
        forward, init = methods.get("forward"), methods.get("__init__")
        if forward is None or init is None or len(forward.params.params) != 2:
            return
        self.layers = _attributes(init)
        self.now = forward.params.params[1].name.value
        self.seen: list[str] = []
        found: list[Step] = []
        for line in forward.body.body:
            part = self._statement(line)
            if part is None:
                return
            found += part
        if len(set(self.seen)) == len(self.seen):  # else a layer is used twice: not straight
            self.steps = tuple(found)

    def _statement(self, line: cst.CSTNode) -> list[Step] | None:
        small = line.body if isinstance(line, cst.SimpleStatementLine) else ()
        if len(small) != 1:
            return None
        one = small[0]
        if isinstance(one, cst.Return) and one.value is not None:
            return self._trace(one.value)
        if isinstance(one, cst.Expr) and isinstance(one.value, cst.SimpleString):
            return []
        if not (isinstance(one, cst.Assign) and len(one.targets) == 1):
            return None
        found, target = self._trace(one.value), one.targets[0].target
        if found is None or not isinstance(target, cst.Name):
            return None
        self.now = target.value
        return found

    def _trace(self, node: cst.BaseExpression) -> list[Step] | None:
        """The calls that make `node` from the tensor at hand; None: something else is used."""
        if isinstance(node, cst.Name):
            return [] if node.value == self.now else None
        if isinstance(node, cst.BinaryOperation) and isinstance(
            node.operator, cst.Add | cst.Multiply
        ):
            left, right = self._trace(node.left), self._trace(node.right)
            if left is None or right is None or (left and right):
                return None
            return [Tied(tuple(left or right))]
        if not isinstance(node, cst.Call):
            return None
        name = dotted(node.func)
        if name.startswith("self."):
            before = self._trace(node.args[0].value) if len(node.args) == 1 else None
            layer = self.layers.get(name[5:])
            self.seen.append(name)
            if before is None:
                return None
            return [*before, *(steps_of(layer) if layer is not None else (None,))]
        rest: Sequence[cst.Arg] = node.args
        before = None
        if isinstance(node.func, cst.Attribute):
            before = self._trace(node.func.value)  # x.flatten(1)
        if before is None and node.args:
            before, rest = self._trace(node.args[0].value), node.args[1:]
        if before is None or any(self._holds_tensor(arg.value) for arg in rest):
            return None
        return [*before, node]

    def _holds_tensor(self, node: cst.BaseExpression) -> bool:
        """Whether another argument is computed from a tensor by a layer."""
        held = dotted(node).startswith("self.") and dotted(node) != "self.training"
        return held or (isinstance(node, cst.Call) and kind(node) in KEEPING)


def _attributes(init: cst.FunctionDef) -> Mapping[str, cst.BaseExpression]:
    """What `__init__` assigns to `self`, of what it assigns once."""
    found: dict[str, cst.BaseExpression] = {}
    twice: set[str] = set()
    for line in init.body.body:
        for one in line.body if isinstance(line, cst.SimpleStatementLine) else ():
            if isinstance(one, cst.Assign):
                name = dotted(one.targets[0].target)
                if name.startswith("self."):
                    twice.update({name[5:]} & found.keys())
                    found[name[5:]] = one.value
    return {name: value for name, value in found.items() if name not in twice}
