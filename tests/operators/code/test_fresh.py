from __future__ import annotations

import numpy as np
import pytest

from evolve.errors import ExperimentError, Infertile
from operators.code import (
    Fresh,
    RegionCrossover,
    crossovers,
    mutators,
    poolings,
    weights,
    widening,
)
from tests.operators.code.children import Children
from tests.operators.code.starts import ROWS, SEQUENTIAL, program, record


class TestFresh(Children):
    def operator(self) -> Fresh:
        return Fresh(program(ROWS), tuple(mutators()[:2]), steps=2)


def test_parents_do_not_matter() -> None:
    fresh = Fresh(program(ROWS), (widening(),))
    one = fresh.vary([record(program(SEQUENTIAL))], np.random.default_rng(0)).genome
    other = fresh.vary([record(program(ROWS))], np.random.default_rng(0)).genome
    assert one.normal == other.normal
    assert one.regions["optimiser"] == program(ROWS).regions["optimiser"]


def test_steps_follow_each_other_by_weight() -> None:
    both = (widening(), poolings())
    child = Fresh(program(SEQUENTIAL), both, 3, weights=(0.0, 1.0)).vary(
        [], np.random.default_rng(0)
    )
    assert str(child.facts["change"]).count("Pool2d") == 6
    with pytest.raises(Infertile, match="fresh found no mutation in 20 draws"):
        Fresh(program(ROWS), (poolings(),)).vary([], np.random.default_rng(0))


def test_what_it_cannot_be_built_of() -> None:
    with pytest.raises(ExperimentError, match=r"\['regions'\]"):
        Fresh(program(), (RegionCrossover(),))
    with pytest.raises(ExperimentError, match="none"):
        Fresh(program(), ())
    with pytest.raises(ExperimentError, match="steps is 0"):
        Fresh(program(), (widening(),), steps=0)
    with pytest.raises(ExperimentError, match="2 weights for 1"):
        Fresh(program(), (widening(),), weights=(1.0, 1.0))


def test_every_operator_has_a_name_of_its_own_and_a_share() -> None:
    operators = [*mutators(), *crossovers()]
    assert len({operator.name for operator in operators}) == len(operators)
    assert all(share > 0 for share in weights(operators))
    assert len(weights(operators)) == len(operators)
