"""1,797 handwritten digits of 8 x 8 pixels (Alpaydin & Kaynak 1998), as scikit-learn ships them.

    from experiments.material.digits import digits
    digits()["validation"]

Knows the cut. scikit-learn is imported here, in the trusted process, and hidden from boxes: it
ships the labels.
"""

import hashlib
from functools import cache

import numpy as np

from evolve.errors import CheckpointError, ExperimentError
from experiments.material.images import Splits, cut

SIZES = {"train": 1000, "validation": 397, "test": 400}
CONTENT = (  # sha256 of images, then labels
    "8b3b6ae90863430bdef06a3f7d1ec2f6a905a53d3375655b18cf63780ad98772"
)


@cache
def digits() -> Splits:
    """Images (n, 1, 8, 8) float32 in [0, 1]. Raises `ExperimentError` without scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as missing:
        raise ExperimentError(
            "The digits come with scikit-learn, which is not installed; pip install scikit-learn."
        ) from missing
    found = load_digits()
    images = (found.images[:, None] / 16).astype(np.float32)
    labels = found.target.astype(np.int64)
    content = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    if content != CONTENT:
        raise CheckpointError(
            f"scikit-learn's digits have sha256 {content}, expected {CONTENT}: another version "
            "ships others; install the one in constraints.txt."
        )
    return cut(images, labels, SIZES, seed=0)
