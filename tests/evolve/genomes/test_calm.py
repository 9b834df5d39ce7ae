from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from evolve.genomes.calm import no_progress_bars, untouched_random_state


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


@pytest.mark.parametrize("shown", [True, False])
def test_progress_bars_are_off_inside_and_as_before_outside(shown: bool) -> None:
    from transformers.utils import logging

    before = logging.is_progress_bar_enabled()
    switch = {True: logging.enable_progress_bar, False: logging.disable_progress_bar}
    switch[shown]()
    try:
        with no_progress_bars():
            assert not logging.is_progress_bar_enabled()
        assert logging.is_progress_bar_enabled() == shown
    finally:
        switch[before]()
