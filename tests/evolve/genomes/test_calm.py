from __future__ import annotations

import random

import numpy as np
import torch

from evolve.genomes.calm import untouched_random_state


def test_global_states_are_put_back_even_after_an_error() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), np.random.rand(), float(torch.rand(()))  # noqa: NPY002

    states = random.getstate(), torch.random.get_rng_state()
    numpy = np.random.get_state()  # noqa: NPY002
    expected = draw()
    random.setstate(states[0])
    np.random.set_state(numpy)  # noqa: NPY002
    torch.random.set_rng_state(states[1])
    try:
        with untouched_random_state():
            draw()
            torch.manual_seed(3)
            raise KeyError
    except KeyError:
        pass
    assert draw() == expected


def test_a_seed_holds_inside() -> None:
    drawn = []
    for _ in range(2):
        with untouched_random_state(5):
            drawn.append(float(torch.rand(())))
    assert drawn[0] == drawn[1]
