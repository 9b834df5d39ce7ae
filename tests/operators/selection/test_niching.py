from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.selection.niching import niched, random_keys
from tests.oracles import niching as oracle


@settings(max_examples=1000, deadline=None)
@given(st.integers(1, 8), st.integers(1, 30), st.integers(0, 2**31))
def test_equals_the_loop_of_the_paper(n_niches: int, n: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    niche = random.integers(0, n_niches, n)
    distance = random.choice([0.0, 0.1, 0.2, 5.0], n)
    crowd = random.integers(0, 4, n_niches)
    k = int(random.integers(1, n + 1))
    keys = random_keys(n, torch.Generator().manual_seed(seed), torch.device("cpu"))
    within, between = (key.tolist() for key in keys)
    loop = oracle.niched(niche.tolist(), distance.tolist(), crowd.tolist(), k, within, between)
    found = niched(
        torch.from_numpy(niche), torch.from_numpy(distance), torch.from_numpy(crowd), k, keys
    )
    assert found.tolist() == loop


def test_the_keys_are_permutations_of_the_generator() -> None:
    one = random_keys(50, torch.Generator().manual_seed(3), torch.device("cpu"))
    other = random_keys(50, torch.Generator().manual_seed(3), torch.device("cpu"))
    for a, b in zip(one, other):
        assert torch.equal(a, b)
        assert sorted(a.tolist()) == list(range(50))
    assert not torch.equal(*one)
