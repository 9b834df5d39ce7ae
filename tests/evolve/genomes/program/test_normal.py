from __future__ import annotations

import ast
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.errors import GenomeError
from evolve.genomes.program.normal import (
    LARGEST,
    LEVELS,
    PATTERNS,
    check_characters,
    normalised,
    parsed,
)

PLAIN = """
import math


def area(radius):
    return math.pi * radius**2
"""
DRESSED = '''"""A module
of many words."""
"and one more string that says nothing"
import math   # for pi

class Empty:
    """Says something."""

def area( radius ):
    """Of a disc."""
    # by the book
    return (math.pi
            * radius ** 2)
'''


def test_comments_docstrings_and_formatting_are_gone() -> None:
    plain = PLAIN.replace("\n\ndef", "\n\nclass Empty:\n    pass\n\ndef")
    assert normalised(DRESSED) == normalised(plain)
    assert "#" not in normalised(DRESSED)


def test_other_code_has_another_normal_form() -> None:
    assert normalised(PLAIN) != normalised(PLAIN.replace("**2", "**3"))
    assert normalised("x = 'a#b'") != normalised("x = 'a'")
    assert normalised("x = 16") == normalised("x = 0x_1_0")


@pytest.mark.parametrize("text", [DRESSED, '"a"\n"b"\n', "def f():\n    'a'\n    'b'\n", ""])
def test_the_normal_form_is_its_own(text: str) -> None:
    once = normalised(text)
    assert normalised(once) == once


STATEMENT = st.sampled_from(
    ["x = 1", "y = f'{x!r:>4}'", "'loose'", "def g(a, /, *b):\n    'doc'\n    return a", "x += .5"]
)


@given(st.lists(STATEMENT, max_size=6), st.sampled_from(["\n", "  # why\n", "\n\n\n"]))
def test_any_program_keeps_its_tree(statements: list[str], end: str) -> None:
    text = "x = 0\n" + "".join(each + end for each in statements)
    once = normalised(text)
    assert normalised(once) == once == normalised(text.replace("  # why", ""))
    without = text.replace("    'doc'\n", "")
    assert ast.dump(ast.parse(once)) == ast.dump(ast.parse(without))


@pytest.mark.parametrize(
    "character",
    [
        "\r", "\0", "\x0c", "\x1b", "\x85",  # controls; some end a line for some readers
        "\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u00ad",  # bidirectional, invisible
        "\u2028", "\u2029", "\ud800", "\ue000", "\U0010ffff",  # separators, not characters
        "\u3164", "\u1160", "\uffa0", "\u034f", "\ufe00", "\U000e0100", "\U000e0041",  # unseen
    ],
)  # fmt: skip
def test_characters_that_hide_code_are_refused(character: str) -> None:
    with pytest.raises(GenomeError, match=rf"net.py holds .*U\+{ord(character):04X}.*plain text"):
        parsed(f"x = 1  # {character}", "net.py")


def test_words_of_any_language_are_welcome() -> None:
    assert "größe" in normalised("größe = 'Maß: 3 μm, 三'  # ⚠️ 👍\n\ty = 1".replace("\n\t", "\n"))


def test_names_are_what_the_interpreter_takes_them_for() -> None:
    assert normalised("ｅｖａｌ('1')") == normalised("eval('1')")
    assert normalised("еval = 1") != normalised("eval = 1")  # a Cyrillic letter stays another


def test_what_is_no_python_is_said_with_its_line() -> None:
    with pytest.raises(GenomeError, match=r"net.py is no Python: .* line 2: 'y = = 2'"):
        parsed("x = 1\ny = = 2\n", "net.py")


@pytest.mark.parametrize(
    "bomb",
    [
        "-" * 60_000 + "1",
        "a" + ".b" * 40_000,
        "+".join(["1"] * 30_000),
        "lambda: " * 3_000 + "1",
        "x = a" + " and a" * 8_000,
        "import a" + ".a" * 10_000,
        "x = (" + "'a'\n" * 40_000 + ")",
        "x = f" + "()" * 40_000,
        "(" * 5_000,
        "x = 0x" + "f" * 100_000,
        "x = " + "1" * 5_000,
    ],
)
def test_what_the_parser_cannot_bear_is_refused(bomb: str) -> None:
    with pytest.raises(GenomeError):
        normalised(bomb)


def _deep(n: int) -> dict[str, str]:
    """Chains and nestings of n levels, each at its line 1 or within what begins there."""
    return {
        "ands": "x = a" + " and a" * n,
        "sum": "x = a" + " + a" * n,
        "minus": "x = " + "-" * n + "a",
        "dots": "x = a" + ".b" * n,
        "calls": "x = f" + "()" * n,
        "choices": "x = " + "a if b else " * n + "c",
        "lambdas": "x = " + "lambda: " * n + "a",
        "elifs": "if a:\n    b\n" + "elif a:\n    b\n" * n,
        "strings": "x = (" + "'ä'\n" * (n + 1) + ")",
        "strings after lines": "x = '''a\nä''', (" + "b'a' " * (n + 1) + ")",
        "strings after umlauts": "ä = 'ä', (" + "f'{a}' # more\n" * (n + 1) + ")",
        "loops": "x = [a" + " for a in b" * n + "]",
        "import": "import a" + ".a" * n,
        "from": "from a" + ".a" * n + " import b",
        "lists": "x = " + "[" * n + "]" * n,
        "subscripts": "x = " + "a[" * n + "b" + "]" * n,
        "blocks": "".join(" " * i + "if a:\n" for i in range(n)) + " " * n + "b",
    }


@pytest.mark.parametrize("kind", _deep(1))
def test_chains_and_nestings_have_an_end(kind: str) -> None:
    assert normalised(_deep(LEVELS - 8)[kind])
    with pytest.raises(GenomeError, match=r"net.py has \d+ or more levels .* at most 64"):
        normalised(_deep(LEVELS + 1)[kind], "net.py")


def test_width_is_no_depth() -> None:
    rows = ", ".join(["-1.0 - 2.0"] * 2_000)
    assert normalised(f"x = [{rows}]\ny = a{' < a' * 500}\n" + "z = 'a' 'b'\n" * 500)
    assert normalised("x = {" + "'a': 'b', " * 500 + "}\n" + "'loose'\n" * 500 + "z = 1\n")


@pytest.mark.parametrize(("left", "right"), ["[]", "()", ("{1: ", "}"), ("A(", ")")])
def test_brackets_of_a_pattern_have_an_end(left: str, right: str) -> None:
    def text(n: int) -> str:
        return f"match x:\n    case {left * n}y{right * n}:\n        z = {'[' * 20}{']' * 20}\n"

    assert normalised(text(PATTERNS))
    with pytest.raises(GenomeError, match=r"net.py has more than 5 brackets .* `case` at line 2"):
        normalised(text(PATTERNS + 1), "net.py")


def test_a_file_has_an_end() -> None:
    check_characters("#" * LARGEST, "net.py")
    with pytest.raises(GenomeError, match="holds at most 262,144"):
        check_characters("#" * (LARGEST + 1), "net.py")


def test_an_odd_escape_is_the_candidates_business() -> None:
    assert normalised(textwrap.dedent(r"x = '\d'")) == "x = '\\\\d'\n"
