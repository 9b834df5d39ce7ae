"""What a prompt says of programs, their results and their failures, in words. Asks nobody.

The same records give the same words: fixed digits, sorted names, no time, no address, no machine.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import numpy as np

from evolve.genomes.program.edits import changed_regions
from evolve.genomes.program.program import Program
from evolve.score import G, Objective, Record, costs

MACHINE = ("isolation",)  # notes on where it ran, not on what it did
LONGEST = 1500  # characters of a note, an error or a traceback's end
DIFF = 60  # lines
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


def goals(objectives: Sequence[Objective]) -> str:
    """A line an objective: direction and unit."""
    return "\n".join(
        f"- {each.name}{f' ({each.unit})' if each.unit else ''}: "
        f"{'higher' if each.maximise else 'lower'} is better"
        for each in objectives
    )


def results(record: Record[Program], objectives: Sequence[Objective]) -> str:
    """Its values, violation and notes; or its failure."""
    score = record.score
    if score.error is not None:
        return failure(record)
    lines = [
        f"- {each.name}: {value:.6g}{f' {each.unit}' if each.unit else ''}"
        for each, value in zip(objectives, score.values)
    ]
    if score.violation > 0:
        lines.append(f"- constraints are violated by {score.violation:.6g}")
    return "\n".join(lines + _notes(record, leave=MACHINE))


def failure(record: Record[Program]) -> str:
    """The error (its kind first: timeout, out of memory ...) and the end of its traceback."""
    error, detail = record.score.error or "", record.score.notes.get("detail", "")
    lines = [f"- it failed: {_short(error)}"]
    if detail.strip() and detail.strip() not in error:
        lines += ["- the end of its traceback:", fenced(_short(detail), "text")]
    return "\n".join(lines + _notes(record, leave=(*MACHINE, "detail")))


def listing(program: Program) -> str:
    """Every file, whole, with its markers."""
    return "\n\n".join(
        fenced(text, f"python {path}") for path, text in sorted(program.files.items())
    )


def names_of(program: Program) -> str:
    """The evolvable regions' names."""
    return ", ".join(program.regions)


def regions_text(program: Program, names: Sequence[str]) -> str:
    """The regions `names`, whole."""
    return "\n\n".join(fenced(program.regions[name], f"python {name}") for name in names)


def worst_first(records: Sequence[Record[G]], objectives: Sequence[Objective]) -> list[Record[G]]:
    """By the sum of costs, each scaled to the range among them; failures, then infeasible ones,
    first; equals by birth."""
    table = costs([record.score for record in records], objectives)
    finite = np.isfinite(table).all(axis=1)
    total = np.full(len(records), np.inf)
    if finite.any():
        known = table[finite]
        span = np.ptp(known, axis=0)
        total[finite] = ((known - known.min(axis=0)) / np.where(span > 0, span, 1.0)).sum(axis=1)

    def key(i: int) -> tuple[int, float, int]:
        record = records[i]
        if not finite[i]:
            return 0, 0.0, record.birth
        if record.score.violation > 0:
            return 1, -record.score.violation, record.birth
        return 2, -float(total[i]), record.birth

    return [records[i] for i in sorted(range(len(records)), key=key)]


def inspirations(
    parent: Record[Program], others: Sequence[Record[Program]], objectives: Sequence[Objective]
) -> str:
    """What else was tried, worst to best, each by where it differs; twins and strangers left out.

    Least to most, as in ShinkaEvolve (Lange et al. 2025): the best stands nearest to the question.
    """
    fresh = {other.digest: other for other in others if other.digest != parent.digest}
    parts: list[tuple[Record[Program], Sequence[str]]] = []
    for other in worst_first(list(fresh.values()), objectives):
        if other.genome.protected == parent.genome.protected:
            parts.append((other, changed_regions(parent.genome, other.genome)))
    shown = [(other, names) for other, names in parts if names]
    return "".join(
        f"\nAnother program ({i} of {len(shown)}, worst to best) reads, where it differs:\n\n"
        f"{regions_text(other.genome, names)}\n\n"
        f"Its results:\n{results(other, objectives)}\n"
        for i, (other, names) in enumerate(shown, start=1)
    )


def lessons(parent: Record[Program], failed: Sequence[Record[Program]]) -> str:
    """Changes of `parent` that failed, oldest first, and how: not to be made again."""
    return "".join(
        f"\nThis change of the program was tried before:\n\n"
        f"{fenced(difference(parent.genome, each.genome), 'diff')}\n\n{failure(each)}\n"
        for each in failed
    )


def difference(before: Program, after: Program) -> str:
    """The lines that differ, as a diff without numbers, at most `DIFF` of them."""
    lines: list[str] = []
    for path, text in sorted(before.files.items()):
        theirs = after.files.get(path, "").splitlines()
        diff = list(difflib.unified_diff(text.splitlines(), theirs, lineterm="", n=1))[2:]
        lines += ["@@" if line.startswith("@@") else line for line in diff]
    left = len(lines) - DIFF
    return "\n".join([*lines[:DIFF], f"... and {left} more lines"] if left > 0 else lines)


def fenced(text: str, words: str) -> str:
    """`text` in a fence longer than any within it."""
    runs = [len(run) for run in re.findall(r"`+", text)]
    fence = "`" * max(3, 1 + max(runs, default=0))
    return f"{fence}{words}\n{text.rstrip()}\n{fence}"


def _notes(record: Record[Program], leave: Sequence[str]) -> list[str]:
    kept = [(name, note) for name, note in sorted(record.score.notes.items()) if note.strip()]
    return [f"- {name}: {_short(note)}" for name, note in kept if name not in leave]


def _short(text: str) -> str:
    """Its end, without addresses in memory, which differ from run to run."""
    same = _ADDRESS.sub("0x...", text.strip())
    return same if len(same) <= LONGEST else f"... {same[-LONGEST:]}"
