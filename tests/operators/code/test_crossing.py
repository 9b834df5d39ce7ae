from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from evolve.errors import Infertile
from evolve.genomes.program.program import Program
from evolve.score import Record
from operators.code import LayerCrossover, RegionCrossover, blocks
from operators.code.crossing import differing
from tests.operators.code.children import Children
from tests.operators.code.starts import FORWARD, LISTED, SEQUENTIAL, program, record
from tests.operators.code.test_mutator import forward

OTHER = """def build():
    width = 12
    return nn.Sequential(
        nn.Conv2d(1, width, 5, padding=2),
        nn.SiLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, 10),
    )
"""


def others() -> Program:
    """Another network, optimiser and schedule than the start's."""
    optimiser = "def optimiser(parameters):\n    return torch.optim.Adam(parameters)\n"
    schedule = "def learning_rate(progress):\n    return 1.0 - 0.9 * progress\n"
    return program(OTHER).swapped({"optimiser": optimiser, "schedule": schedule})


class Crossing(Children):
    def parents(self, seed: int) -> Sequence[Record[Program]]:
        return [record(program(SEQUENTIAL)), record(others(), 1)]

    def test_child_of_identical_parents_is_legal(self) -> None:
        with pytest.raises(Infertile, match="the parents"):
            self.child([self.parents(0)[0]] * 2)


class TestRegionCrossover(Crossing):
    births = 6  # of six children that two parents can have

    def operator(self) -> RegionCrossover:
        return RegionCrossover()


class TestLayerCrossover(Crossing):
    def operator(self) -> LayerCrossover:
        return LayerCrossover()


def test_regions_are_of_one_parent_or_the_other() -> None:
    first, second, rng = program(SEQUENTIAL), others(), np.random.default_rng(0)
    assert differing(first, second) == ["network", "optimiser", "schedule"]
    seen = set()
    for _ in range(10):
        child = RegionCrossover().vary([record(first), record(second)], rng)
        taken = str(child.facts["region"]).split(", ")
        seen.update(taken)
        for name, text in child.genome.regions.items():
            assert text.strip() == (second if name in taken else first).regions[name].strip()
    assert seen == {"network", "optimiser", "schedule"}


def test_one_unlike_region_gives_no_child_of_its_own() -> None:
    with pytest.raises(Infertile, match="differ in 1 of 4 regions"):
        RegionCrossover().vary(
            [record(program(SEQUENTIAL)), record(program(OTHER))], np.random.default_rng(0)
        )


def test_layers_meet_with_one_width() -> None:
    rng = np.random.default_rng(0)
    first = program(SEQUENTIAL)
    second = blocks().vary([record(program(OTHER))], rng).genome
    for _ in range(6):
        child = LayerCrossover().vary([record(first), record(second)], rng)
        assert forward(child.genome) == (2, 10)
        assert "of the second" in str(child.facts["change"])


def test_lists_are_crossed_too() -> None:
    other = LISTED.replace("Half(8, 12, stride=2)", "Half(8, 20, stride=2), nn.GELU()")
    other = other.replace("nn.Conv2d(12, 12, 3, padding=1, groups=12)", "nn.Conv2d(20, 20, 1)")
    rng = np.random.default_rng(0)
    parents = [record(program(LISTED)), record(program(other.replace("Half(12,", "Half(20,")))]
    for _ in range(4):
        assert forward(LayerCrossover().vary(parents, rng).genome) == (2, 10)


def test_what_cannot_be_crossed() -> None:
    rng, start = np.random.default_rng(0), program(SEQUENTIAL)
    with pytest.raises(Infertile, match="no two unlike Sequentials"):
        LayerCrossover().vary([record(start), record(program(FORWARD))], rng)
    files = {"net.py": start.files["net.py"].replace("CLASSES = 10", "CLASSES = 11")}
    for operator in (LayerCrossover(), RegionCrossover()):
        with pytest.raises(Infertile, match="protected parts differ"):
            operator.vary([record(start), record(Program(files))], rng)


def test_a_text_that_libcst_cannot_read_is_infertile() -> None:
    odd = program(OTHER.replace("width = 12", "(width): int = 12"))
    for parents in ([odd, program(SEQUENTIAL)], [program(SEQUENTIAL), odd]):
        with pytest.raises(Infertile, match="layers cannot work on this text: ParserSyntaxError"):
            LayerCrossover().vary([record(each) for each in parents], np.random.default_rng(0))
