import sys

import numpy as np
import pytest

from evolve.errors import ExperimentError
from experiments.material.digits import SIZES, digits


def test_three_splits_of_all_images() -> None:
    found = digits()
    assert {name: len(split.labels) for name, split in found.items()} == SIZES
    assert sum(SIZES.values()) == 1797
    images = np.concatenate([split.images for split in found.values()])
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (0, 1)
    assert all(np.bincount(split.labels).min() > 20 for split in found.values())


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ExperimentError, match="pip install scikit-learn"):
        digits.__wrapped__()
