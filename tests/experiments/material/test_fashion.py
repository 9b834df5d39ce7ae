import gzip
import struct
from pathlib import Path

import numpy as np

from experiments.material.fashion import idx


def test_idx_files_are_read_in_their_shape(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    head = bytes([0, 0, 8, 3]) + struct.pack(">3i", 2, 3, 4)
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(head + pixels.tobytes()))
    assert (idx(path) == pixels).all()
