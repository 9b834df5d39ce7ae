"""A built-in mutator of programs: one site drawn, one edit there, and the layers fitted to it.

Every place where a kind of edit can be made is a site, and one is drawn uniformly over all
regions. The child parses, and differs from its parent in normal form. Runs no evolved code: that
shapes agree is reasoned out from the source (`flow`), which is right mostly, not always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import libcst as cst
import numpy as np

from evolve.errors import ExperimentError, Infertile
from evolve.genomes.program.program import Program
from evolve.score import Needs, Record
from evolve.variation import Offspring
from operators.code.chains import Step, chains
from operators.code.flow import Ends, Walk, ends, mended
from operators.code.tree import exchanged
from operators.code.view import View, readable, views

TRIES = 12  # sites whose edits fail before an operator gives up


@dataclass(frozen=True, eq=False)
class Edit:
    """Nodes of a region by identity, and what stands there instead. `change` says it in words;
    `classes`: source of classes that the new text needs, by name."""

    new: Mapping[cst.CSTNode, cst.CSTNode]
    change: str
    classes: Mapping[str, str]


Site: TypeAlias = Callable[[np.random.Generator], Edit]  # raises Infertile


def edit(old: cst.CSTNode, new: cst.CSTNode, change: str) -> Edit:
    """One node for another."""
    return Edit({old: new}, change, {})


@dataclass(frozen=True)
class Mutator:
    """`sites`: a function of a module, which lists the edits that a region allows."""

    name: str
    sites: Callable[[View], Iterable[Site]]
    arity: int = 1
    needs: Needs | None = None

    def vary(
        self, parents: Sequence[Record[Program]], rng: np.random.Generator
    ) -> Offspring[Program]:
        """Raises `Infertile` if no site gives a child."""
        (parent,) = programs(parents, self.arity, self.name)
        with readable(self.name):
            places = [(view, site) for view in views(parent) for site in self.sites(view)]
        if not places:
            raise Infertile(f"{self.name} finds nothing to change in {', '.join(parent.regions)}.")
        reason = ""
        for i in rng.permutation(len(places))[:TRIES].tolist():
            view, site = places[i]
            try:
                with readable(self.name):
                    found = site(rng)
                    new, notes = fitted(view, applied(view, found))
                    return born(parent, {view.name: new.code}, "; ".join([found.change, *notes]))
            except Infertile as error:
                reason = str(error)
        raise Infertile(f"{self.name} tried {min(TRIES, len(places))} sites; the last: {reason}")


def programs(parents: Sequence[Record[Program]], arity: int, name: str) -> list[Program]:
    """The parents' genomes, for the operator `name`."""
    if len(parents) != arity:
        raise ExperimentError(f"{name} was given {len(parents)} parents; give {arity}.")
    return [parent.genome for parent in parents]


def born(parent: Program, texts: Mapping[str, str], change: str) -> Offspring[Program]:
    """The child with new `texts` of regions. Raises `Infertile` for a twin, `GenomeError`."""
    child = parent.swapped(texts)
    if child.normal == parent.normal:
        raise Infertile("the edit leaves the program as it is.")
    return Offspring(child, {"region": ", ".join(texts), "change": change})


def applied(view: View, found: Edit) -> cst.Module:
    """The region's tree after an edit, with the classes that it needs at the top."""
    module = exchanged(view.module, found.new)
    missing = [text for name, text in found.classes.items() if name not in view.classes]
    lines = [line for text in missing for line in cst.parse_module(text).body]
    if not lines:
        return module
    first = module.body[0]
    if not view.function:
        gap = [cst.EmptyLine(indent=False)] * 2
        rest = [first.with_changes(leading_lines=[*gap, *first.leading_lines]), *module.body[1:]]
        return module.with_changes(body=[*lines, *rest])
    assert isinstance(first, cst.FunctionDef)
    inner = first.body.with_changes(body=[*lines, *first.body.body])
    return module.with_changes(body=[first.with_changes(body=inner), *module.body[1:]])


def fitted(view: View, module: cst.Module) -> tuple[cst.Module, list[str]]:
    """`module`, an edit of the region, with its layers fitted to each other, and what that
    changed. Raises `Infertile` where they do not fit."""
    known = sound(view)
    if not known:
        return module, []
    after = view.at(module)
    now = chains(after)
    new: dict[cst.CSTNode, cst.CSTNode] = {}
    notes: list[str] = []
    for name, (_, wanted, _) in known.items():
        if name in now:
            walk = mended(now[name], after, wanted)
            new |= dict(walk.new.items())
            notes += walk.notes
    return exchanged(module, new) if new else module, notes


@lru_cache(maxsize=8)  # by identity: a view is asked again for the same
def sound(view: View) -> dict[str, tuple[tuple[Step, ...], Ends, Walk]]:
    """The chains whose layers fit as they are: only those are understood, and kept so."""
    found: dict[str, tuple[tuple[Step, ...], Ends, Walk]] = {}
    for name, steps in chains(view).items():
        wanted = ends(steps, view)
        try:
            walk = mended(steps, view, wanted)
        except Infertile:
            continue
        if not walk.new:
            found[name] = steps, wanted, walk
    return found
