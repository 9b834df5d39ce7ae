"""Fashion-MNIST (Xiao et al. 2017, MIT licence), as Debian packs it; a small part to train on.

Knows the IDX format and the cut. Needs apt-get the first time (31 MB).
"""

import gzip
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from experiments.material import archives, cached
from experiments.material.images import Split, Splits, cut

FOLDER = "usr/share/datasets/fashion-mnist"
ARCHIVE = archives.Archive(
    "dataset-fashion-mnist=0.0~git20200523.55506a9-1",
    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
    tuple(
        f"{FOLDER}/{part}-{kind}-ubyte.gz"
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    ),
)
SIZES = {"train": 6000, "validation": 2000}  # of the 60,000; the test split is the set's own


@cache
def fashion() -> Splits:
    """Images (n, 1, 28, 28) float32 in [0, 1]. Raises CheckpointError where it is out of reach."""
    folder = cached.folder(f"fashion-{ARCHIVE.sha256[:16]}", _write)
    names = [Path(path).name for path in ARCHIVE.paths]
    images, labels, test_images, test_labels = (idx(folder / name) for name in names)
    parts = cut(images[:, None], labels.astype(np.int64), SIZES, seed=0)
    splits = {**parts, "test": Split(test_images[:, None], test_labels.astype(np.int64))}
    return {
        name: Split(images / np.float32(255), labels) for name, (images, labels) in splits.items()
    }


def idx(path: Path) -> np.ndarray:
    """The bytes of a gzipped IDX file, in its shape."""
    content = gzip.decompress(path.read_bytes())
    n_axes = content[3]
    shape = np.frombuffer(content, ">i4", n_axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * n_axes).reshape(shape)


def _write(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        for path in archives.fetch(ARCHIVE, Path(scratch)):
            path.rename(folder / path.name)
