from __future__ import annotations

import json

import numpy as np
import pytest

from evolve.errors import GenomeError
from evolve.genomes.compression.space import BitGrid, ZeroGrid
from evolve.levels.settings import Method, Settings

TOKENS = np.arange(32).reshape(4, 8)


@pytest.mark.parametrize(
    ("grid", "method"),
    [
        (BitGrid(), Method.SPARSEGPT),
        (BitGrid(), Method.MAGNITUDE),
        (ZeroGrid(), Method.GPTQ),
        (ZeroGrid(), Method.RTN),
    ],
)
def test_a_method_that_does_not_fit_the_grid(grid: BitGrid | ZeroGrid, method: Method) -> None:
    with pytest.raises(GenomeError, match=f"{method.value} makes no (bits|zeros); give .* or"):
        Settings(grid, method)


@pytest.mark.parametrize("damping", [0.0, 1.0, -0.1])
def test_damping_out_of_range(damping: float) -> None:
    with pytest.raises(GenomeError, match="damping"):
        Settings(BitGrid(), Method.GPTQ, damping=damping)


def test_facts_tell_everything_that_changes_the_levels() -> None:
    every = [
        Settings(BitGrid(), Method.GPTQ),
        Settings(BitGrid((2, 3)), Method.GPTQ),
        Settings(BitGrid(group=32), Method.GPTQ),
        Settings(BitGrid(), Method.RTN),
        Settings(BitGrid(), Method.GPTQ, damping=0.1),
        Settings(BitGrid(), Method.GPTQ, search_scales=False),
        Settings(BitGrid(), Method.GPTQ, threads=2),
        Settings(ZeroGrid(), Method.SPARSEGPT),
        Settings(ZeroGrid(), Method.SPARSEGPT, tied=False),
        Settings(ZeroGrid(0.4), Method.SPARSEGPT),
    ]
    facts = [json.dumps(each.facts(TOKENS), sort_keys=True) for each in every]
    facts += [json.dumps(every[0].facts(TOKENS + 1), sort_keys=True)]
    facts += [json.dumps(every[0].facts(TOKENS.reshape(2, 16)), sort_keys=True)]
    assert len(set(facts)) == len(facts)
    assert every[0].facts(TOKENS) == every[0].facts(TOKENS.astype(np.int32))
