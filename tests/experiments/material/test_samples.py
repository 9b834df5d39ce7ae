import math
from itertools import combinations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from evolve.errors import ExperimentError
from experiments import material
from experiments.material import samples
from experiments.material.measure import losses


@pytest.fixture(scope="module")
def base():
    return AutoModelForCausalLM.from_pretrained(material.base(), dtype=torch.float32).eval()


def test_samples_have_the_promised_shapes():
    for split, size in samples.SIZES.items():
        rows = samples.samples(split)
        assert rows.shape == (size, 256)
        assert rows.dtype == np.int64
        assert (rows[:, 0] == 1).all()
        assert rows.max() < 32000


def test_no_sequence_is_drawn_twice():
    rows = {split: {row.tobytes() for row in samples.samples(split)} for split in samples.SIZES}
    assert {split: len(found) for split, found in rows.items()} == samples.SIZES
    assert not any(one & two for one, two in combinations(rows.values(), 2))


def test_the_model_finds_its_own_samples_likely(base):
    assert math.exp(losses(base, samples.samples("held_out")[:4]).mean()) < 3.5  # 2.85 over all


def test_drawing_again_gives_the_same_tokens(monkeypatch):
    monkeypatch.setattr(samples, "N_TOKENS", 12)
    one, two, other = (samples.draw(material.base(), 3, seed) for seed in (5, 5, 6))
    assert one.shape == (3, 12)
    assert one.dtype == np.uint16
    assert (one == two).all()
    assert (one != other).any()


def test_unknown_split_is_named():
    with pytest.raises(ExperimentError, match=r"'test'.*calibration, search, held_out"):
        samples.samples("test")
