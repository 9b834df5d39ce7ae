"""Where a source file may change: between markers, or whole functions. Knows one file's text.

    # EVOLVE-BLOCK-START NAME
    ...
    # EVOLVE-BLOCK-END

The markers are AlphaEvolve's (Novikov et al. 2025), as its open relatives write them; the name
may be left out. Within a string they are text. A function is named by its path in the file:
`build`, `Net.forward`.
"""

from __future__ import annotations

import ast
import io
import itertools
import re
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from evolve.errors import GenomeError
from evolve.genomes.program.normal import parsed

START = re.compile(r"^[ \t]*#[ \t]*EVOLVE-BLOCK-START(?:[ \t]+(\w+))?[ \t]*$")
END = re.compile(r"^[ \t]*#[ \t]*EVOLVE-BLOCK-END[ \t]*$")
MARK = "EVOLVE-BLOCK"


@dataclass(frozen=True)
class Region:
    """Lines [first, last) of `file`, counted from 0; `function` if they are one whole function."""

    name: str
    file: str
    first: int
    last: int
    indent: str
    function: str = ""


def regions_of(text: str, file: str, functions: Sequence[str]) -> list[Region]:
    """The regions of one file, in order. Raises `GenomeError` for those that do not fit."""
    found = _marked(text, file) + [_whole(text, file, path) for path in functions]
    found.sort(key=lambda region: region.first)
    for before, after in itertools.pairwise(found):
        if after.first < before.last:
            raise GenomeError(
                f"The regions {before.name!r} and {after.name!r} of {file} overlap; make them "
                "apart."
            )
    return found


def content(text: str, region: Region) -> str:
    """The region's text, as if it stood at the left margin."""
    lines = text.split("\n")[region.first : region.last]
    return shifted("\n".join(lines) + "\n", region.indent, "")


def replaced(text: str, region: Region, new: str) -> str:
    """`text` with `new`, written at the left margin, in the region. Raises `GenomeError`."""
    check(new, region)
    lines = text.split("\n")
    body = shifted(new.rstrip("\n") + "\n", "", region.indent).rstrip("\n")
    return "\n".join([*lines[: region.first], *body.split("\n"), *lines[region.last :]])


def check(new: str, region: Region) -> None:
    """Raise `GenomeError` if `new` cannot stand in the region, or reaches beyond it."""
    name = f"The new region {region.name!r} of {region.file}"
    if MARK in new:
        raise GenomeError(f"{name} holds an {MARK} marker; leave markers where they are.")
    body = parsed(new, name).body  # alone, so that it cannot swallow what follows it
    if not body:
        raise GenomeError(f"{name} holds no statement; an evolvable region cannot be deleted.")
    if not region.function:
        return
    wanted = region.function.rpartition(".")[2]
    if not (len(body) == 1 and _is_function(body[0]) and body[0].name == wanted):
        raise GenomeError(f"{name} must be the one function {wanted!r}, whole.")


def shifted(text: str, old: str, new: str) -> str:
    """`text` with the indent `old` of its lines replaced by `new`; what strings hold stays."""
    if old == new:
        return text
    held = _inside_strings(text, old)
    lines = [
        line
        if i in held or not line.strip()
        else new + (line[len(old) :] if line.startswith(old) else line.lstrip())
        for i, line in enumerate(text.split("\n"))
    ]
    return "\n".join(lines)


def _inside_strings(text: str, indent: str) -> set[int]:
    """The lines (from 0) that begin within a string."""
    held: set[int] = set()
    head = "if 1:\n" if indent else "\n"
    try:
        for token in tokenize.generate_tokens(io.StringIO(head + text).readline):
            if token.string:  # only a string's token spans lines
                held.update(range(token.start[0] - 1, token.end[0] - 1))  # the head is a line
    except (tokenize.TokenError, SyntaxError):  # `check` says it in words
        pass
    return held


def _marked(text: str, file: str) -> list[Region]:
    found: list[Region] = []
    open_at: tuple[int, str] | None = None
    lines = text.split("\n")
    quoted = _inside_strings(text, "")  # else a region could close the string that it stands in
    for i, line in enumerate(lines):
        if i in quoted:
            continue
        start, end = START.match(line), END.match(line)
        if start and open_at is not None:
            raise GenomeError(f"{file}:{i + 1} opens a region inside another; close it first.")
        if end and open_at is None:
            raise GenomeError(f"{file}:{i + 1} closes a region that was not opened.")
        if start:
            open_at = i + 1, start[1] or f"block{len(found)}"
        elif end and open_at is not None:
            first, name = open_at
            code = (each for each in lines[first:i] if each.strip()[:1] not in ("", "#"))
            found.append(Region(name, file, first, i, _indent(next(code, ""))))
            check(content(text, found[-1]), found[-1])
            _check_margin(text, found[-1])
            open_at = None
    if open_at is not None:
        raise GenomeError(f"The region {open_at[1]!r} of {file} is not closed; add {MARK}-END.")
    return found


def _check_margin(text: str, region: Region) -> None:
    """Raise `GenomeError` unless all code of the region stands at its indent, or deeper."""
    if not region.indent:
        return
    lines = text.split("\n")[region.first : region.last]
    try:
        alone = parsed("\n".join(["if 1:", *lines, ""]), region.name).body
    except GenomeError:  # its content is Python, at the left margin: `check` has seen it
        alone = []
    if len(alone) != 1 or not isinstance(alone[0], ast.If) or alone[0].orelse:
        raise GenomeError(
            f"The region {region.name!r} of {region.file} holds code further left than its first "
            "line; put its markers around whole statements of one indentation."
        )


def _whole(text: str, file: str, path: str) -> Region:
    body: Sequence[ast.stmt] = parsed(text, file).body
    node: ast.stmt | None = None
    for part in path.split("."):
        node = next((each for each in body if _named(each) == part), None)
        body = node.body if isinstance(node, ast.ClassDef | ast.FunctionDef) else []
    if node is None or not _is_function(node):
        raise GenomeError(f"{file} has no function {path!r}; name one that is written there.")
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)]) - 1
    indent = _indent(text.split("\n")[first])
    return Region(path, file, first, node.end_lineno or node.lineno, indent, path)


def _is_function(node: ast.stmt) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _named(node: ast.stmt) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    return ""


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
