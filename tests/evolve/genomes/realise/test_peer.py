from __future__ import annotations

import numpy as np
import pytest
import torch

from evolve.genomes.merge import MergeSpace
from evolve.genomes.methods import Method
from tests.evolve.genomes.conftest import Family
from tests.oracles.merging import loaded, merged_by_mergekit

STEADY = (Method.SLERP, Method.NUSLERP, Method.SCE, Method.MODEL_STOCK, Method.KARCHER)


@pytest.mark.parametrize("method", STEADY)
@pytest.mark.parametrize("name", ["family", "untied"])
def test_it_is_mergekits_own(method: Method, name: str, request: pytest.FixtureRequest) -> None:
    base, experts = request.getfixturevalue(name)
    space = MergeSpace.of(base, experts[: 2 if method.pair else 3], method=method, dtype="float32")
    recipe = space.recipe(space.box.draw(np.random.default_rng(0)))
    ours, theirs, frozen = recipe.express(), merged_by_mergekit(recipe), loaded(space.base)
    assert list(ours) == list(theirs)
    for tensor, wanted in theirs.items():
        if "embed" in tensor and name == "family":  # no expert changed it
            assert torch.equal(ours[tensor], frozen[tensor].float())
        else:
            assert torch.equal(ours[tensor], wanted), tensor


def test_della_keeps_about_its_density(untied: Family) -> None:
    space = MergeSpace.of(*untied, method=Method.DELLA, dtype="float32")
    merged = space.uniform(weight=(1, 0, 0), density=0.25).express()
    base = loaded(space.base)
    name = "model.layers.0.mlp.up_proj.weight"
    share = float((merged[name] != base[name]).float().mean())
    assert 0.2 < share < 0.3


def test_della_takes_every_density(untied: Family) -> None:
    """mergekit refuses density +- epsilon outside (0, 1); epsilon gives way."""
    space = MergeSpace.of(*untied, method=Method.DELLA, dtype="float32")
    for g in (0, 1, 128, 255, 256):
        merged = space.uniform(density=g / 256, epsilon=0.25).express()
        assert all(bool(tensor.isfinite().all()) for tensor in merged.values())
