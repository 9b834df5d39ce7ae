"""One evolvable region as a syntax tree, with the names around it. Knows neither layers nor
mutations."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import libcst as cst

from evolve.errors import GenomeError, Infertile
from evolve.genomes.program.program import Program
from operators.code.tree import Number, evaluated


@dataclass(frozen=True)
class Around:
    """What the files around the regions say. `constants`: names bound once, to a number.
    `classes`: parameters of `__init__` without `self`, by class. `modules`: what imports are
    called here, `{"torch.nn": "nn"}`."""

    constants: Mapping[str, Number]
    classes: Mapping[str, tuple[str, ...]]
    modules: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class View:
    """`function`: the region is one whole function."""

    name: str
    module: cst.Module
    around: Around
    function: bool = False

    @cached_property
    def constants(self) -> Mapping[str, Number]:
        """Names that stand for one number in the region."""
        bound = _bound(self._tree)
        outer = {k: v for k, v in self.around.constants.items() if k not in bound}
        return {**outer, **_constants(self._tree)}

    @cached_property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        return {**self.around.classes, **_classes(self._tree)}

    @cached_property
    def _tree(self) -> ast.Module:
        return ast.parse(self.module.code)

    @cached_property
    def nodes(self) -> list[cst.CSTNode]:
        """Every node, in the order of the text."""
        return list(self.parents)

    @cached_property
    def parents(self) -> Mapping[cst.CSTNode, cst.CSTNode | None]:
        seen = _Parents()
        self.module.visit(seen)
        return seen.found

    @property
    def nn(self) -> str | None:
        """What stands before a layer's name here: `nn.`, `torch.nn.`; None: not known."""
        modules = self.around.modules
        if "torch.nn" in modules:
            return modules["torch.nn"] + "."
        return modules["torch"] + ".nn." if "torch" in modules else None

    def scope(self, node: cst.CSTNode | None) -> str:
        """The path of the class or function that holds `node`: `Net.__init__`."""
        names: list[str] = []
        while node is not None:
            node = self.parents[node]
            if isinstance(node, cst.FunctionDef | cst.ClassDef):
                names.insert(0, node.name.value)
        return ".".join(names)

    def at(self, module: cst.Module) -> View:
        """The same region with another text."""
        return replace(self, module=module)


@contextmanager
def readable(operator: str) -> Iterator[None]:
    """`Infertile` instead of what evolved text can raise where it is read and rewritten: it is
    Python for the interpreter, but `(x): int = 1` is none for libcst, and 10**4299 has no double
    that can be written. A search must outlive that."""
    try:
        yield
    except GenomeError as error:
        raise Infertile(str(error)) from error
    except (cst.ParserSyntaxError, SyntaxError, RecursionError, ArithmeticError, ValueError) as e:
        said = " ".join(str(e).split())[:200]
        raise Infertile(f"{operator} cannot work on this text: {type(e).__name__}: {said}") from e


def views(program: Program) -> list[View]:
    """The regions of `program`."""
    constants: dict[str, Number] = {}
    classes: dict[str, tuple[str, ...]] = {}
    modules: dict[str, str] = {}
    for text in program.normal.values():
        tree = ast.parse(text)
        top: list[ast.stmt] = [node for node in tree.body if isinstance(node, ast.Assign)]
        constants |= _constants(ast.Module(top, type_ignores=[]))
        classes |= _classes(tree)
        modules |= _modules(tree)
    around = Around(constants, classes, modules)
    whole = {name.partition(":")[2] for name in program.functions}
    return [
        View(name, cst.parse_module(text), around, name in whole)
        for name, text in program.regions.items()
    ]


class _Parents(cst.CSTVisitor):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[cst.CSTNode, cst.CSTNode | None] = {}
        self.stack: list[cst.CSTNode] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        self.found[node] = self.stack[-1] if self.stack else None
        self.stack.append(node)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        self.stack.pop()


def _bound(tree: ast.Module) -> Counter[str]:
    """How often each name is bound."""
    bound: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound[node.id] += 1
        elif isinstance(node, ast.arg):
            bound[node.arg] += 1
    return bound


def _constants(tree: ast.Module) -> dict[str, Number]:
    """Names bound once, to a number: by an assignment or as a parameter's default."""
    bound = _bound(tree)
    given: list[tuple[str, ast.expr]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments):
            plain = [*node.posonlyargs, *node.args]
            given += zip([a.arg for a in plain[len(plain) - len(node.defaults) :]], node.defaults)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                given += _pairs(target, node.value)
    found: dict[str, Number] = {}
    for name, value in given:
        known = evaluated(value, found)
        if bound[name] == 1 and known is not None:
            found[name] = known
    return found


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        return [(target.id, value)]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return [pair for t, v in zip(target.elts, value.elts) for pair in _pairs(t, v)]
    return []


def _classes(tree: ast.Module) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for each in node.body:
                if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                    found[node.name] = tuple(arg.arg for arg in each.args.args[1:])
    return found


def _modules(tree: ast.Module) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name: a.asname or a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{a.name}": a.asname or a.name for a in node.names}
    return found
