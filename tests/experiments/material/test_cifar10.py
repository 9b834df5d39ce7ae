from pathlib import Path

import numpy as np
from PIL import Image

from experiments.material.cifar10 import _rows


def test_a_row_of_the_picture_is_an_image(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    path = tmp_path / "batch.png"
    Image.fromarray(images.reshape(4, 1024, 3)).save(path)
    assert (_rows(path) == images.transpose(0, 3, 1, 2)).all()
