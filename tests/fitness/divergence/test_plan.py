from __future__ import annotations

import re
from dataclasses import replace

import pytest

from evolve.genomes.compression.space import ProfileSpace
from experiments import material
from experiments.material.samples import samples
from fitness.divergence import Divergence
from fitness.divergence.plan import Load, memory, minutes, work


@pytest.fixture(scope="module")
def space() -> ProfileSpace:
    return ProfileSpace.of(material.base(), depth=True)


def test_the_plan_names_model_tokens_and_memory(space: ProfileSpace) -> None:
    plan = Divergence(space, samples("search")[:4], (1, 4), batch=8).plan()
    assert plan[0].startswith("model       base: 6 blocks, 42 linear layers in 24 units")
    assert plan[1] == "tokens      256, 1,024 an evaluation, by rung"
    assert re.fullmatch(
        r"time        about \S+, \S+ s an evaluation on one core, by rung; less .*", plan[2]
    )
    assert plan[3].startswith("memory      about ")
    assert plan[3].endswith(" MB a worker, 8 profiles at a time")


def test_work_is_two_operations_a_weight(space: ProfileSpace) -> None:
    assert work(space) == 2 * (6 * (4 * 288 * 288 + 3 * 288 * 768) + 288 * 32_000)


def test_minutes_go_with_the_tokens(space: ProfileSpace) -> None:
    assert 10 * minutes(space, 10) < minutes(space, 10_000) < 1e5 * minutes(space, 10)


def test_memory_is_the_formula(space: ProfileSpace) -> None:
    load = Load((1, 4), 256, batch=8, shard=2, top_k=512, itemsize=4, kept=2**30)
    parts = (
        4 * 15_191_712,  # parameters
        4 * 10 * 4 * 255 * 288,  # hidden states
        4 * (4 * 288 * 288 + 3 * 288 * 768),  # one block at one level
        8 * 2 * 255 * 32_000,  # logits
        4 * 255 * 8 * 512,  # targets
    )
    assert memory(space, load) == sum(parts)
    assert memory(space, replace(load, kept=1000)) == sum(parts[:4]) + 1000
    whole = 4 * 255 * 4 * 32_000
    assert memory(space, replace(load, top_k=0)) == sum(parts[:4]) + whole
