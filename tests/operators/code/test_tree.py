from __future__ import annotations

import libcst as cst
import pytest

from operators.code.tree import (
    argument,
    call,
    code,
    dotted,
    exchanged,
    expression,
    inserted,
    kind,
    number,
    prefix,
    whole,
    with_argument,
)

CONV = ("in_channels", "out_channels", "kernel_size", "stride")


def test_names_of_calls() -> None:
    assert (kind(call("nn.Conv2d(1, 2)")), prefix(call("nn.Conv2d(1, 2)"))) == ("Conv2d", "nn.")
    assert (kind(call("Conv2d(1)")), prefix(call("Conv2d(1)"))) == ("Conv2d", "")
    assert (kind(call("f(x).flatten(1)")), prefix(call("f(x).flatten(1)"))) == ("flatten", "")
    assert dotted(expression("a.b.c")) == "a.b.c"
    assert dotted(expression("a[0].c")) == ""


@pytest.mark.parametrize("text", ["f(1, 2, 5)", "f(1, kernel_size=5, out_channels=2)"])
def test_an_argument_is_found_by_place_or_word(text: str) -> None:
    found = argument(call(text), "kernel_size", CONV)
    assert found is not None
    assert code(found) == "5"
    assert argument(call(text), "stride", CONV) is None
    assert argument(call("f(*sizes)"), "kernel_size", CONV) is None


def test_an_argument_is_set_added_and_taken_away() -> None:
    def changed(text: str, value: int | None) -> str:
        return code(with_argument(call(text), "stride", CONV, value))

    assert changed("f(1, 2, 3, 1)", 2) == "f(1, 2, 3, 2)"
    assert changed("f(1, 2, 3)", 2) == "f(1, 2, 3, stride=2)"
    assert changed("f()", 2) == "f(stride=2)"
    assert changed("f(1, stride=2)", None) == "f(1)"
    assert changed("f(stride=2, out_channels=1)", None) == "f(out_channels=1)"
    assert changed("f(1, 2, 3, 1)", None) == "f(1, 2, 3, 1)"  # a place cannot be left out
    assert changed("f(1)", None) == "f(1)"


def test_arguments_are_inserted_as_their_neighbours_stand() -> None:
    lines = call("f(\n    a,\n    b,\n)")
    new = lines.with_changes(args=inserted(lines.args, 2, cst.Arg(cst.Name("c"))))
    assert code(new) == "f(\n    a,\n    b,\n    c,\n)"
    row = call("f(a, b)")
    assert code(row.with_changes(args=inserted(row.args, 1, cst.Arg(cst.Name("c"))))) == (
        "f(a, c, b)"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("2 * w", 16),
        ("w // 3", 2),
        ("-(w + 1.5)", -9.5),
        ("w / 0", None),
        ("v", None),
        ("True", None),
        ("'3'", None),
        ("w ** w", None),
        ("10**9 * 10**9", None),
    ],
)
def test_numbers_are_worked_out(text: str, value: float | None) -> None:
    assert number(expression(text), {"w": 8}) == value


def test_whole_numbers_only() -> None:
    assert whole(expression("w / 2"), {"w": 8}) is None
    assert whole(expression("w // 2"), {"w": 8}) == 4
    assert number(None, {}) is None


def test_nodes_are_exchanged_by_identity() -> None:
    module = cst.parse_module("a = f(1)\nb = f(1)\n")
    line = module.body[1]
    assert isinstance(line, cst.SimpleStatementLine)
    assign = line.body[0]
    assert isinstance(assign, cst.Assign)
    assert exchanged(module, {assign.value: expression(2)}).code == "a = f(1)\nb = 2\n"


def test_a_number_may_go_over_lines() -> None:
    (arg,) = call("f(2 *  # twice\n  3)").args
    assert number(arg.value, {}) == 6
