"""Small pieces of Python as syntax trees (libcst): read, build, exchange. Knows no layer."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import libcst as cst

Number = int | float
N = TypeVar("N", bound=cst.CSTNode)

_ARITHMETIC: Mapping[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
}
_LARGEST = 10**9  # beyond this nothing is a width


def code(node: cst.CSTNode) -> str:
    """The text of `node`."""
    return cst.Module([]).code_for_node(node)


def expression(value: str | Number) -> cst.BaseExpression:
    """The tree of an expression's text, or of a number."""
    return cst.parse_expression(value if isinstance(value, str) else repr(value))


def call(text: str) -> cst.Call:
    """The tree of a call's text."""
    found = expression(text)
    assert isinstance(found, cst.Call)
    return found


def dotted(node: cst.CSTNode) -> str:
    """`nn.Conv2d` for such a name, else nothing."""
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute):
        front = dotted(node.value)
        return f"{front}.{node.attr.value}" if front else ""
    return ""


def kind(node: cst.Call) -> str:
    """`Conv2d` for `nn.Conv2d(...)`, `flatten` for `f(x).flatten(1)`."""
    if isinstance(node.func, cst.Attribute):
        return node.func.attr.value
    return dotted(node.func)


def prefix(node: cst.Call) -> str:
    """`nn.` for `nn.Conv2d(...)`; nothing if there is none, or no plain name."""
    return dotted(node.func).rpartition(".")[0] + "." * ("." in dotted(node.func))


def argument(node: cst.Call, name: str, order: Sequence[str]) -> cst.BaseExpression | None:
    """The argument `name` of a call whose parameters have this `order`."""
    for i, arg in enumerate(node.args):
        if arg.star:
            return None
        if arg.keyword is not None:
            if arg.keyword.value == name:
                return arg.value
        elif i < len(order) and order[i] == name:
            return arg.value
    return None


def with_argument(
    node: cst.Call, name: str, order: Sequence[str], value: str | Number | None
) -> cst.Call:
    """`node` with the argument set, added as a keyword, or (None) taken away if it is one."""
    old = argument(node, name, order)
    if old is not None:
        at = next(i for i, arg in enumerate(node.args) if arg.value is old)
        if value is not None:
            args = list(node.args)
            args[at] = args[at].with_changes(value=expression(value))
            return node.with_changes(args=args)
        if node.args[at].keyword is None:
            return node
        return node.with_changes(args=_closed([*node.args[:at], *node.args[at + 1 :]]))
    if value is None:
        return node
    new = call(f"f({name}={expression_text(value)})").args[0]
    return node.with_changes(args=inserted(node.args, len(node.args), new))


def expression_text(value: str | Number) -> str:
    return value if isinstance(value, str) else repr(value)


def inserted(args: Sequence[cst.Arg], at: int, new: cst.Arg) -> list[cst.Arg]:
    """`args` with `new` before position `at`, spaced as its neighbours are."""
    plain = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    around = [arg.comma for arg in args if isinstance(arg.comma, cst.Comma)]
    comma = around[0] if around and len(args) > 1 else plain
    if at < len(args):
        return [*args[:at], new.with_changes(comma=comma), *args[at:]]
    if not args:
        return [new]
    last = args[-1]
    return [*args[:-1], last.with_changes(comma=comma), new.with_changes(comma=last.comma)]


def number(node: cst.CSTNode | None, names: Mapping[str, Number]) -> Number | None:
    """What an arithmetic expression of numbers and known `names` is, if it is one."""
    if isinstance(node, cst.Integer) and node.value.isdigit():
        return int(node.value)
    if node is None or not isinstance(node, cst.BaseExpression):
        return None
    text = f"({code(node)})"  # an argument may go over lines
    return evaluated(ast.parse(text, mode="eval").body, names)


def evaluated(node: ast.expr, names: Mapping[str, Number]) -> Number | None:
    """The same, of Python's own tree."""
    if isinstance(node, ast.Constant):
        value = node.value
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = evaluated(node.operand, names)
        return None if value is None else -value
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = evaluated(node.left, names), evaluated(node.right, names)
        if left is None or right is None or max(abs(left), abs(right)) > _LARGEST:
            return None
        try:
            return _ARITHMETIC[type(node.op)](left, right)
        except ZeroDivisionError:
            return None
    return None


def whole(node: cst.CSTNode | None, names: Mapping[str, Number]) -> int | None:
    """`number` where it is an integer."""
    value = number(node, names)
    return value if isinstance(value, int) else None


def exchanged(module: cst.Module, new: Mapping[cst.CSTNode, cst.CSTNode]) -> cst.Module:
    """`module` with nodes, known by identity, replaced."""
    return module.visit(_Exchange(new))


class _Exchange(cst.CSTTransformer):
    def __init__(self, new: Mapping[cst.CSTNode, cst.CSTNode]) -> None:
        super().__init__()
        self.new = new

    def on_leave(self, original_node: N, updated_node: N) -> cst.CSTNode:  # type: ignore[override]
        return self.new.get(original_node, updated_node)


def _closed(args: Sequence[cst.Arg]) -> list[cst.Arg]:
    """`args` without a comma at the end of one line."""
    if not args:
        return []
    last = args[-1]
    comma = last.comma
    if isinstance(comma, cst.Comma) and "\n" not in code(comma):
        last = last.with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return [*args[:-1], last]
