"""What every question about a program has in common, and the child of its answer.

Asks through `asking`; knows no operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from evolve.chat import Chat, Reply
from evolve.errors import GenomeError, Infertile
from evolve.genome import Json
from evolve.genomes.program.edits import changed_regions
from evolve.genomes.program.program import Program
from evolve.score import Objective, Record
from evolve.variation import Offspring
from operators.llm import telling
from operators.llm.asking import conceived
from operators.llm.wording import Draw, filled


def context(
    task: str,
    objectives: Sequence[Objective],
    parents: Sequence[Record[Program]],
    failed: Sequence[Record[Program]],
) -> dict[str, str]:
    """The parts of a prompt that every question about the program `parents[0]` has."""
    parent, *others = parents
    return {
        "task": task.strip(),
        "objectives": telling.goals(objectives),
        "program": telling.listing(parent.genome),
        "regions": telling.names_of(parent.genome),
        "results": telling.results(parent, objectives),
        "others": telling.inspirations(parent, others, objectives)
        + telling.lessons(parent, failed),
    }


def grown(
    chat: Chat,
    parent: Program,
    question: str,
    apply: Callable[[str], Program],
    draw: Draw,
    family: str,
    facts: Mapping[str, Json] | None = None,
    before: Sequence[Reply] = (),
) -> Offspring[Program]:
    """`conceived`, with the family of the operator and the changed regions among its facts."""
    child = conceived(chat, question, apply, draw, {"family": family, **(facts or {})}, before)
    regions = list(changed_regions(parent, child.genome))
    return Offspring(child.genome, {**child.facts, "regions": regions})


def different(ours: Program, theirs: Program, name: str) -> tuple[str, ...]:
    """The regions in which two programs differ. Raises `Infertile` if there are none."""
    try:
        found = changed_regions(ours, theirs)
    except GenomeError as error:
        raise Infertile(f"{name} was given unlike programs: {error}") from error
    if not found:
        raise Infertile(f"{name} was given two programs that do not differ; give different ones.")
    return found


def within(before: Program, after: Program, regions: Sequence[str]) -> Program:
    """`after`, if it differs from `before` in `regions` only. Raises `GenomeError`."""
    if other := [name for name in changed_regions(before, after) if name not in regions]:
        raise GenomeError(
            f"The answer changes the region {other[0]!r}; change {', '.join(regions)} only."
        )
    return after


def edits_form(program: Program) -> str:
    """How to answer with edits."""
    return filled("form_edits", {"regions": telling.names_of(program)})


def regions_form(regions: Sequence[str]) -> str:
    """How to answer with whole `regions`."""
    return filled("form_regions", {"regions": ", ".join(regions), "example": regions[0]})
