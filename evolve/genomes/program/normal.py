"""Source text in one form: checked characters, and no comment, docstring or formatting.

Two texts of one normal form are one individual. The normal form is also what a sandbox runs, so
that nothing can be hidden in comments. Knows no regions.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import unicodedata
import warnings
from collections.abc import Mapping
from functools import lru_cache

from evolve.errors import GenomeError

LARGEST = 256 * 1024  # characters a file
# What reads the text again, a step of recursion a level, has its end: at 80 levels libcst needs
# 800 of Python's 1,000 frames, and a chain of thousands ends the process. torch's files have 10
# to 30 levels, one has 61.
LEVELS = 64
# Brackets within brackets in the header of a `case`: libcst takes 3.5 times longer for each more,
# 0.03 s at 7 and minutes at 12.
PATTERNS = 5
# Shown as nothing at all, though letters or marks by category (Unicode 15.1,
# Default_Ignorable_Code_Point); not U+FE0E and U+FE0F, which follow the emoji of comments.
_UNSEEN = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0d\uffa0\U000e0100-\U000e01ef]"
)


def parsed(text: str, name: str) -> ast.Module:
    """The syntax tree of `text`, the file or region `name`. Raises `GenomeError`.

    What passes is flat enough for whatever walks it by recursion: `ast`, libcst."""
    check_characters(text, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape is the candidate's business
            tree = ast.parse(text)
            _check_levels(tree, text, name)
            return tree
    except SyntaxError as error:
        line = (error.text or "").strip()[:80]
        raise GenomeError(
            f"{name} is no Python: {error.msg} at line {error.lineno}: {line!r}; give whole "
            "statements that parse on their own."
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise GenomeError(f"{name} cannot be parsed: {error or type(error).__name__}.") from error


def normalised(text: str, name: str = "source") -> str:
    """`text` without comments, docstrings and formatting. Raises `GenomeError`."""
    tree = parsed(text, name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _without_docstring(node)
    try:
        return ast.unparse(tree) + "\n"
    except (ValueError, RecursionError) as error:  # an integer beyond what may be printed
        raise GenomeError(f"{name} cannot be put into normal form: {error}.") from error


def check_characters(text: str, name: str) -> None:
    """Raise `GenomeError` for characters that make code read otherwise than it runs."""
    if len(text) > LARGEST:
        raise GenomeError(
            f"{name} has {len(text):,} characters; a program's file holds at most {LARGEST:,}."
        )
    for character in sorted(set(text) - {"\n", "\t"}):
        kind = unicodedata.category(character)
        # controls, bidi marks, separators
        if kind in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or _UNSEEN.match(character):
            raise GenomeError(
                f"{name} holds the character U+{ord(character):04X} ({kind}), which can hide "
                "code; give plain text with \\n line ends."
            )


def _check_levels(tree: ast.Module, text: str, name: str) -> None:
    """Raise `GenomeError` for a tree, here or in libcst, of more than `LEVELS` levels."""
    strings = dict(_joined(text, name))
    pending: list[tuple[ast.AST, int, int]] = [(tree, 0, 1)]
    while pending:  # no recursion: what is looked for would end it
        node, level, line = pending.pop()
        if isinstance(node, ast.stmt | ast.expr):
            line = node.lineno
        level += _chained(node, strings)
        if level > LEVELS:
            raise GenomeError(
                f"{name} has {level} or more levels of nesting at line {line}; a program has at "
                f"most {LEVELS}, where each elif, operand, call, joined string and dot of a chain "
                "is a level: split it into statements."
            )
        pending += [(child, level + 1, line) for child in ast.iter_child_nodes(node)]


def _chained(node: ast.AST, strings: dict[tuple[int, int], int]) -> int:
    """The levels that `node` alone has in libcst, beyond its own: chains that are flat in ast."""
    match node:
        case ast.BoolOp():
            return len(node.values) - 2
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return len(node.generators) - 1
        case ast.alias():
            return node.name.count(".")
        case ast.ImportFrom():
            return (node.module or "").count(".")
        case ast.Constant() | ast.JoinedStr():
            # once: the parts of an f-string stand where the whole does
            return strings.pop((node.lineno, node.col_offset), 0)
    return 0


@lru_cache(maxsize=64)  # a text is parsed again and again
def _joined(text: str, name: str) -> Mapping[tuple[int, int], int]:
    """How many strings follow the one at (line, byte) with nothing between: one node in ast.
    Raises `GenomeError` also for brackets too deep in a pattern, which no tree shows."""
    found: dict[tuple[int, int], int] = {}
    first: tuple[int, int] | None = None
    depth, case, fresh = 0, False, True
    lines = text.split("\n")
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT):
                continue
            if token.type == tokenize.STRING:
                line, at = token.start
                if first is None:
                    first = line, len(lines[line - 1][:at].encode())
                    found[first] = 0
                else:
                    found[first] += 1
            else:
                first = None
            case = token.string == "case" if fresh else case
            fresh = token.type == tokenize.NEWLINE
            if token.type == tokenize.OP:
                depth += (token.string in "([{") - (token.string in ")]}")
            if case and depth > PATTERNS:
                raise GenomeError(
                    f"{name} has more than {PATTERNS} brackets within each other after the `case` "
                    f"at line {token.start[0]}; match the inner parts in statements of their own."
                )
    except tokenize.TokenError as error:
        raise GenomeError(f"{name} cannot be read in tokens: {error}.") from error
    return {place: more for place, more in found.items() if more}


def _without_docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> None:
    while node.body and ast.get_docstring(node, clean=False) is not None:  # the next is one then
        node.body = node.body[1:]
        if not node.body and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]
