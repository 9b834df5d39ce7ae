"""Small layers with correlated inputs, as language models have them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def layer(rows: int, columns: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(rows, columns) weight in float32, (columns, columns) second moment in float64."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(columns, columns)) * random.uniform(0.1, 2, columns)
    inputs = random.normal(size=(4 * columns, columns)) @ mixing
    weight = torch.from_numpy(random.normal(size=(rows, columns)).astype(np.float32))
    return weight, torch.from_numpy(inputs.T @ inputs / len(inputs))
