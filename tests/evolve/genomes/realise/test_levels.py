from __future__ import annotations

import pytest
import torch

from evolve.genomes.realise.levels import kept_at, random_levels, rank_levels


@pytest.mark.parametrize("n", [1, 2, 7, 255, 256, 257, 1000, 4096])
def test_a_level_keeps_what_mergekits_rounding_keeps(n: int) -> None:
    levels = rank_levels(n)
    for g in range(256):
        assert int((levels.int() < g).sum()) == kept_at(g, n) == int(g / 256 * n)
    assert bool((levels.diff() >= 0).all()) or n == 1


def test_random_levels_are_uniform_nested_and_keyed() -> None:
    levels = random_levels(0, "a", 256_000)
    counts = torch.bincount(levels.int(), minlength=256).double()
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 380  # chi squared, 255 degrees: p 1e-6
    assert torch.equal(levels, random_levels(0, "a", 256_000))
    for other in (random_levels(1, "a", 256_000), random_levels(0, "b", 256_000)):
        assert abs(float((levels == other).double().mean()) - 1 / 256) < 1e-3
