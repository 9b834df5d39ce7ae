from __future__ import annotations

import numpy as np
import torch

from operators.code import augmentations
from tests.operators.code.starts import program, record


def test_steps_come_and_go_and_keep_the_shape() -> None:
    rng, parent, words = np.random.default_rng(0), program(), set()
    for _ in range(30):
        child = augmentations().vary([record(parent)], rng)
        parent = child.genome
        words.add(str(child.facts["change"]).removeprefix("augment: ").split(" ")[0])
        names: dict[str, object] = {"torch": torch}
        exec(compile(parent.regions["augment"], "augment", "exec"), names)
        augment = names["augment"]
        assert callable(augment)
        found = augment(torch.rand(3, 1, 8, 8))
        assert found.shape == (3, 1, 8, 8)
        assert found.dtype == torch.float32
    assert words == {"noise", "shift", "contrast", "lost", "without"}
