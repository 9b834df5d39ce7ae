"""Source text in one form: checked characters, and no comment, docstring or formatting.

Two texts of one normal form are one individual. The normal form is also what a sandbox runs, so
that nothing can be hidden in comments. Knows no regions.
"""

from __future__ import annotations

import ast
import re
import unicodedata
import warnings

from evolve.errors import GenomeError

LARGEST = 256 * 1024  # characters a file
# Shown as nothing at all, though letters or marks by category (Unicode 15.1,
# Default_Ignorable_Code_Point); not U+FE0E and U+FE0F, which follow the emoji of comments.
_UNSEEN = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0d\uffa0\U000e0100-\U000e01ef]"
)


def parsed(text: str, name: str) -> ast.Module:
    """The syntax tree of `text`, the file or region `name`. Raises `GenomeError`."""
    check_characters(text, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape is the candidate's business
            return ast.parse(text)
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


def _without_docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> None:
    while node.body and ast.get_docstring(node, clean=False) is not None:  # the next is one then
        node.body = node.body[1:]
        if not node.body and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]
