"""A language model's answer, applied to a program: SEARCH/REPLACE edits, or whole regions.

Nothing outside of the evolvable regions changes, and what does not fit exactly one place is
refused with a `GenomeError` written for the model that gave the answer. Knows no model.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from evolve.errors import GenomeError
from evolve.genomes.program.answer import Block, Edit, blocks_of, edits_of
from evolve.genomes.program.normal import normalised
from evolve.genomes.program.program import Program
from evolve.genomes.program.regions import MARK, Region, content, regions_of, shifted

Alike: TypeAlias = Callable[[Sequence[str], Sequence[str]], bool]


def edited(program: Program, answer: str) -> Program:
    """`program` after the SEARCH/REPLACE blocks of `answer`, one after the other.

    Lines match whole: as they are, else up to trailing white space and one indentation for all.
    Raises `GenomeError` unless each matches at one place of one region, and something changes.
    """
    regions = dict(program.regions)
    for number, edit in enumerate(edits_of(answer), start=1):
        name, text = _applied(program, regions, edit, f"SEARCH block {number}")
        regions[name] = text
    return _swapped(program, regions)


def rewritten(program: Program, answer: str) -> Program:
    """`program` with the regions, or the whole files, that fenced blocks of `answer` hold.

    A block names its region or file behind the fence; one block without a name will do where the
    program has one region. An answer without a fence is one such block.
    Raises `GenomeError` for what fits no region, and unless something changes.
    """
    regions: dict[str, str] = {}
    for block in blocks_of(answer):
        for name, text in _regions_in(program, block).items():
            if name in regions:
                raise GenomeError(f"The region {name!r} is given twice; give it once, whole.")
            regions[name] = text
    return _swapped(program, regions)


def changed_regions(before: Program, after: Program) -> tuple[str, ...]:
    """The regions whose code differs, comments and formatting apart.

    Raises `GenomeError` if the two do not have the same regions and the same protected text.
    """
    if before.protected != after.protected:
        raise GenomeError(
            "Two programs with different protected text have no common regions; compare "
            "descendants of one start program."
        )
    return tuple(
        name
        for name, text in before.regions.items()
        if normalised(text, name) != normalised(after.regions[name], name)
    )


def _applied(
    program: Program, regions: Mapping[str, str], edit: Edit, what: str
) -> tuple[str, str]:
    """The region that `edit` changes, and its new text."""
    for alike in (_exact, _loose):
        places = [
            (name, at)
            for name, text in regions.items()
            for at in _matches(text.split("\n"), edit.old, alike)
        ]
        if len(places) > 1:
            where = ", ".join(f"line {at + 1} of {name}" for name, at in places[:4])
            raise GenomeError(
                f"{what} matches {len(places)} places ({where}); quote more lines around the one "
                "that is meant."
            )
        if places:
            name, at = places[0]
            lines = regions[name].split("\n")
            new = _indented(edit, lines[at : at + len(edit.old)], what)
            return name, "\n".join([*lines[:at], *new, *lines[at + len(edit.old) :]])
    raise GenomeError(_unmatched(program, regions, edit, what))


def _matches(lines: Sequence[str], old: Sequence[str], alike: Alike) -> list[int]:
    n = len(old)
    return [i for i in range(len(lines) - n + 1) if alike(lines[i : i + n], old)]


def _exact(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    return list(ours) == list(theirs)


def _loose(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Equal but for trailing white space and one indentation."""
    if [line.strip() for line in ours] != [line.strip() for line in theirs]:
        return False
    step = _step(_margin(theirs), _margin(ours))
    return step is not None and all(
        (step[0] + yours.rstrip()).removeprefix(step[1]) == mine.rstrip()
        for mine, yours in zip(ours, theirs)
        if yours.strip()
    )


def _indented(edit: Edit, ours: Sequence[str], what: str) -> list[str]:
    """The new lines, moved as the old ones must be to stand where they match."""
    if not edit.new:
        return []
    more, less = _step(_margin(edit.old), _margin(ours)) or ("", "")
    if any(line.strip() and not line.startswith(less) for line in edit.new):
        raise GenomeError(
            f"{what} has new lines that stand further left than the program's margin; indent the "
            "old and the new lines as the program does."
        )
    return shifted("\n".join(edit.new), less, more).split("\n")


def _step(theirs: str, ours: str) -> tuple[str, str] | None:
    """The white space to add and to take that turns the margin `theirs` into `ours`."""
    if ours.startswith(theirs):
        return ours[len(theirs) :], ""
    return ("", theirs[len(ours) :]) if theirs.startswith(ours) else None


def _margin(lines: Sequence[str]) -> str:
    first = next(line for line in lines if line.strip())
    return first[: len(first) - len(first.lstrip())]


def _unmatched(program: Program, regions: Mapping[str, str], edit: Edit, what: str) -> str:
    names = ", ".join(regions)
    for path, text in program.files.items():
        if _matches(text.split("\n"), edit.old, _loose):
            return (
                f"{what} reaches outside of the evolvable regions, to protected lines of {path} "
                f"(or lines that an earlier block changed); change lines of {names} only."
            )
    first = next(line for line in edit.old if line.strip()).strip()[:200]
    lines = [line.strip()[:200] for text in regions.values() for line in text.split("\n")]
    near = difflib.get_close_matches(first, [line for line in lines if line], n=1)
    hint = f" The line nearest to its first is {near[0]!r}." if near else ""
    return (
        f"{what} matches no lines of the regions {names}; quote whole lines exactly as they are "
        f"now.{hint}"
    )


def _regions_in(program: Program, block: Block) -> Mapping[str, str]:
    """The texts of regions, by name, that a fenced block stands for."""
    file = next((word for word in block.words if word in program.files), None)
    if file is None and MARK in block.text:
        marked = regions_of(block.text, "The answer", ())
        if not _outside(block.text, marked, markers=False):
            return {place.name: content(block.text, place) for place in marked}
        if len(program.files) > 1:
            raise GenomeError(
                "A fenced block holds a whole file without its name; open it with ```python NAME, "
                f"one of {', '.join(program.files)}."
            )
        file = next(iter(program.files))
    if file is not None:
        return _regions_of_file(program, block.text, file)
    name = next((word for word in block.words if word in program.regions), None)
    if name is None and len(program.regions) == 1:
        name = next(iter(program.regions))
    if name is None:
        raise GenomeError(
            f"A block of the answer names none of the regions {', '.join(program.regions)}; "
            "write each in a fenced block that is opened with ```python NAME."
        )
    return {name: block.text}


def _regions_of_file(program: Program, text: str, file: str) -> Mapping[str, str]:
    functions = [name.partition(":") for name in program.functions]
    evolvable = [function for path, _, function in functions if path == file]
    places = regions_of(text, file, evolvable)
    was = program.files[file]
    ours = _outside(was, regions_of(was, file, evolvable))
    theirs = _outside(text, places)
    for mine, yours in itertools.zip_longest(ours, theirs, fillvalue="(nothing)"):
        if mine != yours:
            raise GenomeError(
                f"The answer changes protected lines of {file}: {yours[:80]!r} stands where "
                f"{mine[:80]!r} was; change the regions only."
            )
    return {place.name: content(text, place) for place in places}


def _outside(text: str, places: Sequence[Region], markers: bool = True) -> list[str]:
    """The lines outside of `places`, without blank ones and other comments than markers."""
    inside = {i for place in places for i in range(place.first, place.last)}
    lines = [line.rstrip() for i, line in enumerate(text.split("\n")) if i not in inside]
    return [
        line
        for line in lines
        if line.strip() and (not line.lstrip().startswith("#") or (markers and MARK in line))
    ]


def _swapped(program: Program, regions: Mapping[str, str]) -> Program:
    new = {name: text for name, text in regions.items() if text != program.regions.get(name)}
    child = program.swapped(new)
    if child.normal == program.normal:
        raise GenomeError(
            "The answer changes nothing but comments or formatting; change what the program does."
        )
    return child
