from __future__ import annotations

import libcst as cst
import numpy as np
import pytest
import torch

from evolve.errors import ExperimentError, GenomeError, Infertile
from evolve.genomes.program.program import Program
from operators.code import Mutator, blocks, literals, mutators
from operators.code.mutator import Edit, Site, applied, born, edit
from operators.code.tree import expression
from operators.code.view import View, views
from tests.operators.code.children import Children
from tests.operators.code.starts import NETWORKS, SEQUENTIAL, program, record, whole_function


class TestMutator(Children):
    def operator(self) -> Mutator:
        return mutators()[0]


def forward(child: Program) -> torch.Size:
    """The shape of what the network leaves of two images: text of our own, changed by us."""
    names: dict[str, object] = {}
    exec(compile(child.normal["net.py"], "net.py", "exec"), names)
    build = names["build"]
    assert callable(build)
    with torch.no_grad():
        found = build()(torch.zeros(2, 1, 8, 8))
    assert isinstance(found, torch.Tensor)
    return found.shape


@pytest.mark.parametrize("name", NETWORKS)
def test_chains_of_children_build_and_run(name: str) -> None:
    rng, parent = np.random.default_rng(3), program(NETWORKS[name])
    for operator in mutators():
        if name == "rows" and operator.name in ("kernel", "pooling"):
            continue  # there is none to change
        child = operator.vary([record(parent)], rng)
        assert child.genome.protected == parent.protected
        assert child.genome.normal != parent.normal
        assert child.facts["region"] in parent.regions
        assert child.facts["change"]
        assert forward(child.genome) == (2, 10)
        parent = child.genome


def test_a_whole_function_is_a_region_too() -> None:
    rng, parent = np.random.default_rng(0), whole_function()
    for operator in mutators():
        if operator.name not in ("optimiser", "schedule", "augmentation"):
            assert forward(operator.vary([record(parent)], rng).genome) == (2, 10)


def test_without_sites_there_is_no_child() -> None:
    bare = program("def build():\n    return network_of_my_own()\n")
    with pytest.raises(Infertile, match="widen finds nothing to change in network, optimiser"):
        mutators()[0].vary([record(bare)], np.random.default_rng(0))
    with pytest.raises(ExperimentError, match="widen was given 2 parents; give 1"):
        mutators()[0].vary([record(bare)] * 2, np.random.default_rng(0))


def test_a_twin_is_no_child() -> None:
    parent = program()
    text = "# a comment\n" + parent.regions["network"]
    with pytest.raises(Infertile, match="as it is"):
        born(parent, {"network": text}, "")
    with pytest.raises(GenomeError):
        born(parent, {"network": "def build(:"}, "")


def test_classes_are_written_once_where_the_region_allows() -> None:
    text = "class Extra:\n    pass\n"
    for start in (program(), whole_function()):
        view = views(start)[0]
        extra = Edit({}, "", {"Extra": text})
        new = applied(view, extra)
        child = start.swapped({view.name: new.code})
        assert child.normal["net.py"].count("class Extra") == 1
        again = applied(views(child)[0], Edit({}, "", {}))
        assert again.code == child.regions[view.name]


def _vain(rng: np.random.Generator) -> Edit:
    raise Infertile("in vain")


def _in_vain(view: View) -> list[Site]:
    return [_vain, _vain]


def _once(view: View) -> list[Site]:
    floats = [node for node in view.nodes if isinstance(node, cst.Float)]
    return [_vain, *(lambda rng, old=old: edit(old, cst.Float("7.0"), "7") for old in floats[:1])]


def test_other_sites_are_tried_when_one_fails() -> None:
    parents = [record(program())]
    with pytest.raises(Infertile, match="vain tried 8 sites; the last: in vain"):
        Mutator("vain", _in_vain).vary(parents, np.random.default_rng(0))
    for seed in range(4):
        child = Mutator("once", _once).vary(parents, np.random.default_rng(seed))
        assert "7.0" in child.genome.normal["net.py"]


def test_a_text_that_libcst_cannot_read_is_infertile() -> None:
    odd = record(program("def build():\n    (width): int = 1\n    return nn.Linear(width, 10)\n"))
    for operator in mutators():
        with pytest.raises(Infertile, match=f"{operator.name} cannot work .* ParserSyntaxError"):
            operator.vary([odd], np.random.default_rng(0))


def test_an_edit_that_cannot_be_written_is_infertile() -> None:
    def sites(view: View) -> list[Site]:
        def site(rng: np.random.Generator) -> Edit:
            return edit(view.nodes[0], expression(10**5000), "")

        return [site]

    with pytest.raises(Infertile, match=r"tried 4 sites; the last: long .* ValueError"):
        Mutator("long", sites).vary([record(program())], np.random.default_rng(0))


_NESTED = {
    "choices": "x = " + "a if b else " * 55 + "c",
    "elifs": "if a:\n        b\n" + "    elif a:\n        b\n" * 55,
    "strings": "x = (" + "'a'\n" * 55 + "    )",
    "subscripts": "if a:\n        b\n    else:\n        " + "a[" * 55 + "1" + "]" * 55,
    "import": "import a" + ".a" * 55,
    "brackets": "x = " + "(" * 195 + "a" + ")" * 195,
}


@pytest.mark.parametrize("kind", _NESTED)
def test_what_a_program_may_nest_the_mutators_bear(kind: str) -> None:
    text = SEQUENTIAL.replace("():\n", f"():\n    {_NESTED[kind]}\n", 1)
    parent, rng = record(program(text)), np.random.default_rng(0)
    for operator in (literals(), blocks()):
        assert operator.vary([parent], rng).genome.protected == parent.genome.protected
