from __future__ import annotations

import numpy as np

from evolve.genomes.compression.budget import file_bytes
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import ProfileSpace
from evolve.genomes.vector import Box, Vector
from experiments import material
from fitness.profile_cost import ProfileCost


def test_it_is_the_cost_under_its_own_name() -> None:
    space = ProfileSpace.of(material.base(), depth=True)
    cost = file_bytes(space)
    kept = np.arange(6) > 0
    whole, less = (
        CompressionProfile.at(space, np.zeros(len(space.units)), mask, mask)
        for mask in (np.ones(6, bool), kept)
    )
    fitness = ProfileCost(cost)
    assert [(each.name, each.unit, each.maximise) for each in fitness.objectives] == [
        ("bytes", "B", False)
    ]
    big, small = fitness.evaluate([whole, less], 0, 0)
    assert big.values == (cost.of(whole),)
    assert small.values == (cost.of(less),)
    assert small.values < big.values


def test_other_genomes_fail() -> None:
    space = ProfileSpace.of(material.base(), depth=True)
    (score,) = ProfileCost(file_bytes(space)).evaluate(
        [Vector(np.zeros(2), Box.of(0.0, 1.0, 2))],  # type: ignore[list-item]
        0,
        0,
    )
    assert score.error == "invalid: ProfileCost scores compression profiles, not Vector."
