"""Crossover of programs: whole regions of two parents, or the first layers of one with the last
layers of the other. Knows no fitness."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import libcst as cst
import numpy as np

from evolve.errors import Infertile
from evolve.genomes.program.normal import normalised
from evolve.genomes.program.program import Program
from evolve.score import Needs, Record
from evolve.variation import Offspring
from operators.code.chains import Container, containers, elements
from operators.code.layers import widths
from operators.code.mutator import Edit, applied, born, fitted, programs, sound
from operators.code.tree import argument, code, exchanged, kind, whole, with_argument
from operators.code.view import View, readable, views

_TRIES = 12


@dataclass(frozen=True)
class RegionCrossover:
    """Some of the regions in which the parents differ from the second, the rest from the first."""

    name: str = "regions"
    arity: int = 2
    needs: Needs | None = None

    def vary(
        self, parents: Sequence[Record[Program]], rng: np.random.Generator
    ) -> Offspring[Program]:
        """Raises `Infertile` if the parents differ in fewer than two regions: the child of one
        would be its second parent."""
        first, second = _mates(parents, self.name)
        other = differing(first, second)
        if len(other) < 2:
            raise Infertile(
                f"{self.name}: the parents differ in {len(other)} of {len(first.regions)} "
                "regions; a child that is neither needs two."
            )
        n = int(rng.integers(1, len(other)))
        taken = sorted(rng.choice(len(other), n, replace=False).tolist())
        texts = {other[i]: second.regions[other[i]] for i in taken}
        with readable(self.name):
            return born(first, texts, f"{', '.join(texts)} of the second parent")


@dataclass(frozen=True)
class LayerCrossover:
    """One-point crossover of two Sequentials, the widths paired again where they meet."""

    name: str = "layers"
    arity: int = 2
    needs: Needs | None = None

    def vary(
        self, parents: Sequence[Record[Program]], rng: np.random.Generator
    ) -> Offspring[Program]:
        """Raises `Infertile` if no cut gives layers that fit."""
        first, second = _mates(parents, self.name)
        other = differing(first, second)
        with readable(self.name):
            pairs = [
                (ours, theirs, a, b)
                for ours, theirs in zip(_views(first, other), _views(second, other))
                for a, b in zip(_outer(ours), _outer(theirs))
                if type(a) is type(b) and _understood(a, ours) and _understood(b, theirs)
            ]
        if not pairs:
            raise Infertile(f"{self.name}: the parents have no two unlike Sequentials to cross.")
        reason = ""
        for _ in range(_TRIES):
            ours, theirs, a, b = pairs[rng.integers(len(pairs))]
            i = int(rng.integers(1, len(elements(a))))
            j = int(rng.integers(1, len(elements(b))))
            try:
                with readable(self.name):
                    new, notes = fitted(ours, applied(ours, _crossed(ours, theirs, a, b, i, j)))
                    told = f"layers 1 to {i} of the first parent, from {j + 1} of the second"
                    child = born(first, {ours.name: new.code}, "; ".join([told, *notes]))
            except Infertile as error:
                reason = str(error)
                continue
            if child.genome.normal != second.normal:
                return child
            reason = "the child would be its second parent."
        raise Infertile(f"{self.name} tried {_TRIES} cuts; the last: {reason}")


def differing(first: Program, second: Program) -> list[str]:
    """The regions whose normal forms differ."""
    return [
        name
        for name, text in first.regions.items()
        if normalised(text) != normalised(second.regions[name])
    ]


def _mates(parents: Sequence[Record[Program]], name: str) -> tuple[Program, Program]:
    first, second = programs(parents, 2, name)
    if first.protected != second.protected:
        raise Infertile(f"{name} cannot cross programs whose protected parts differ.")
    return first, second


def _views(program: Program, names: Sequence[str]) -> list[View]:
    return [view for view in views(program) if view.name in names]


def _outer(view: View) -> list[Container]:
    """The Sequentials and lists that stand in no other, nor in a class."""
    found: list[Container] = []
    for box in containers(view):
        above = view.parents[box]
        while above is not None and above not in found and not isinstance(above, cst.ClassDef):
            above = view.parents[above]
        if above is None:
            found.append(box)
    return found


def _understood(box: Container, view: View) -> bool:
    """Whether the layers are two or more of a chain whose shapes are known."""
    known = {place for _, _, walk in sound(view).values() for place, *_ in walk.places}
    return len(elements(box)) > 1 and any(each in known for each in elements(box))


def _crossed(ours: View, theirs: View, a: Container, b: Container, i: int, j: int) -> Edit:
    tail = [_plain(each, theirs) for each in elements(b)[j:]]
    classes = _classes(theirs)
    words = {word for each in tail for word in _words(each)}
    known = {node.value for node in ours.nodes if isinstance(node, cst.Name)}
    known |= set(vars(builtins)) | classes.keys() | ours.classes.keys() | _imported(ours)
    if strange := sorted(words - known):
        raise Infertile(f"the second parent's layers use {strange[0]!r}, unknown to the first.")
    wanted = {name: text for name, text in classes.items() if name in words}
    if isinstance(a, cst.Call):
        assert isinstance(b, cst.Call)
        args = [arg.with_changes(value=value) for arg, value in zip(b.args[j:], tail)]
        return Edit({a: a.with_changes(args=[*a.args[:i], *args])}, "", wanted)
    assert isinstance(b, cst.List)
    rows = [row.with_changes(value=value) for row, value in zip(b.elements[j:], tail)]
    return Edit({a: a.with_changes(elements=[*a.elements[:i], *rows])}, "", wanted)


def _plain(node: cst.BaseExpression, view: View) -> cst.BaseExpression:
    """A layer with numbers for the names of widths that only its own program has."""
    new: dict[cst.CSTNode, cst.CSTNode] = {}
    held = cst.Module([cst.SimpleStatementLine([cst.Expr(node)])])
    for each in view.nodes:
        role = widths(kind(each), view.classes) if isinstance(each, cst.Call) else None
        if role is None or not isinstance(each, cst.Call):
            continue
        other = each
        for name in filter(None, (role.input, role.output)):
            given = argument(each, name, role.order)
            value = whole(given, view.constants)
            if value is not None and not isinstance(given, cst.Integer):
                other = with_argument(other, name, role.order, value)
        new[each] = other
    line = exchanged(held, new).body[0]
    assert isinstance(line, cst.SimpleStatementLine)
    only = line.body[0]
    assert isinstance(only, cst.Expr)
    return only.value


def _classes(view: View) -> Mapping[str, str]:
    """The source of the classes that the region defines at its top."""
    return {
        line.name.value: code(line) for line in view.module.body if isinstance(line, cst.ClassDef)
    }


def _imported(view: View) -> set[str]:
    return {name.partition(".")[0] for name in view.around.modules.values()}


def _words(node: cst.CSTNode) -> set[str]:
    """The names that an expression reads; not attributes, not keywords."""
    if isinstance(node, cst.Name):
        return {node.value}
    if isinstance(node, cst.Attribute):
        return _words(node.value)
    if isinstance(node, cst.Arg):
        return _words(node.value)
    return {word for child in node.children for word in _words(child)}
