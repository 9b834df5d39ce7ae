"""What a language model's answer holds: SEARCH/REPLACE edits and fenced blocks. Knows no program.

    <<<<<<< SEARCH
    lines as they are
    =======
    lines as they shall be
    >>>>>>> REPLACE

The form is that of merge conflicts, usual among code assistants since aider (Gauthier 2023).
Every refusal is a `GenomeError` written for the model that gave the answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from evolve.errors import GenomeError

SEARCH = re.compile(r"^\s*<{5,9} ?SEARCH\s*$")
DIVIDER = re.compile(r"^\s*={5,9}\s*$")
REPLACE = re.compile(r"^\s*>{5,9} ?REPLACE\s*$")
FENCE = re.compile(r"^\s*(`{3,}|~{3,})(.*)$")
WORD = re.compile(r"[\w./-]+")
FORM = "<<<<<<< SEARCH / old lines / ======= / new lines / >>>>>>> REPLACE"


@dataclass(frozen=True)
class Edit:
    """`old` lines that become `new` lines; `new` may be empty."""

    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """A fenced block; `words` are those behind its fence, e.g. python network."""

    words: tuple[str, ...]
    text: str


def edits_of(answer: str) -> list[Edit]:
    """The SEARCH/REPLACE blocks of `answer`, in order, fenced or not. Raises `GenomeError`."""
    found: list[Edit] = []
    old: list[str] | None = None
    new: list[str] | None = None
    for line in spoken(answer).split("\n"):
        number = len(found) + 1
        if SEARCH.match(line):
            if old is not None:
                raise GenomeError(
                    f"SEARCH block {number} is not ended before the next; use {FORM}."
                )
            old = []
        elif REPLACE.match(line):
            if old is None or new is None:
                lacks = "<<<<<<< SEARCH line" if old is None else "======= line"
                raise GenomeError(f"SEARCH block {number} has no {lacks}; use {FORM}.")
            found.append(_edit(old, new, number))
            old = new = None
        elif old is not None and DIVIDER.match(line):
            if new is not None:
                raise GenomeError(f"SEARCH block {number} has two ======= lines; use {FORM}.")
            new = []
        elif old is not None:
            (old if new is None else new).append(line)
    if old is not None:
        raise GenomeError(
            f"SEARCH block {len(found) + 1} has no >>>>>>> REPLACE line: the answer was cut off "
            f"or is malformed; use {FORM}, and be brief."
        )
    if not found:
        raise GenomeError(f"The answer holds no SEARCH/REPLACE block; use {FORM}.")
    return found


def blocks_of(answer: str) -> list[Block]:
    """The fenced blocks of `answer`; without any fence, all of it. Raises `GenomeError`."""
    found: list[Block] = []
    held: list[str] = []
    fence, words = "", ""
    for line in spoken(answer).split("\n"):
        mark = FENCE.match(line)
        if not fence and mark:
            fence, words, held = mark[1], mark[2], []
        elif mark and mark[1].startswith(fence) and not mark[2].strip():
            found.append(Block(tuple(WORD.findall(words)), "\n".join(held) + "\n"))
            fence = ""
        elif fence:
            held.append(line)
    if fence:
        raise GenomeError(
            "The last fenced block is not closed: the answer was cut off or is malformed; end "
            f"each block with {fence}, and be brief."
        )
    return found or [Block((), spoken(answer).strip("\n") + "\n")]


def spoken(answer: str) -> str:
    """`answer` without what a model thought aloud before it, with \\n line ends."""
    return answer.rpartition("</think>")[2].replace("\r\n", "\n")


def _edit(old: Sequence[str], new: Sequence[str], number: int) -> Edit:
    edit = Edit(_unfenced(old), _unfenced(new))
    if not any(line.strip() for line in edit.old):
        raise GenomeError(
            f"SEARCH block {number} searches for nothing; quote the lines to replace, or the "
            "line beside which to insert."
        )
    if edit.old == edit.new:
        raise GenomeError(
            f"SEARCH block {number} replaces lines with the same lines; change them."
        )
    return edit


def _unfenced(lines: Sequence[str]) -> tuple[str, ...]:
    """Without a fence around all of them, and without blank lines at the ends."""
    kept = list(lines)
    while kept and not kept[0].strip():
        del kept[0]
    while kept and not kept[-1].strip():
        del kept[-1]
    if len(kept) >= 2 and FENCE.match(kept[0]) and FENCE.match(kept[-1]):
        kept = kept[1:-1]
    return tuple(kept)
