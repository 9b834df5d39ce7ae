"""What an image set is here: samples and labels in three splits. Knows no set."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fitness.harness import Data


class Split(NamedTuple):
    """`images` (n, channels, height, width) float32 in [0, 1] or uint8; `labels` (n,) int64."""

    images: np.ndarray
    labels: np.ndarray


Splits = Mapping[str, Split]  # train, validation, test


def cut(images: np.ndarray, labels: np.ndarray, sizes: Mapping[str, int], seed: int) -> Splits:
    """Splits of these sizes that share no sample, in the order of `sizes`, after a shuffle."""
    order = np.random.default_rng(seed).permutation(len(images))
    ends = np.cumsum([0, *sizes.values()])
    parts = {name: order[i:j] for name, i, j in zip(sizes, ends, ends[1:])}
    return {name: Split(images[rows], labels[rows]) for name, rows in parts.items()}


def scored_on(splits: Splits, name: str) -> Data:
    """The training part, scored on the split `name`."""
    train, other = splits["train"], splits[name]
    return Data(train.images, train.labels, other.images, other.labels)
