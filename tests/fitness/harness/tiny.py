"""A program that learns three classes in no time, and data for it."""

from itertools import pairwise

import numpy as np

from evolve.genomes.program.program import Program
from fitness.harness import Data

SOURCE = """
import numpy as np
import torch
from torch import nn

# EVOLVE-BLOCK-START network
def build():
    return nn.Sequential(nn.Linear(4, 3))
# EVOLVE-BLOCK-END


# EVOLVE-BLOCK-START rate
RATE = 0.5
# EVOLVE-BLOCK-END


def train(inputs, labels, epochs, seed, start=None):
    torch.manual_seed(seed)
    model = build()
    for name, tensor in model.state_dict().items():
        if start and name in start:
            tensor.copy_(torch.from_numpy(start[name]))
    update = torch.optim.SGD(model.parameters(), lr=RATE)
    for _ in range(epochs):
        update.zero_grad()
        scores = model(torch.from_numpy(inputs))
        nn.functional.cross_entropy(scores, torch.from_numpy(labels)).backward()
        update.step()
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def predict(weights, inputs):
    model = build()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    with torch.no_grad():
        return model.eval()(torch.from_numpy(inputs)).numpy()
"""
START = Program({"tiny.py": SOURCE})
LITERALS = 3  # 4, 3, 0.5


def data(n: int = 60) -> Data:
    """Three clouds of points, and as many others."""
    rng = np.random.default_rng(0)
    labels = np.arange(2 * n) % 3
    centres = 2.0 * np.eye(4)[:3]
    inputs = (centres[labels] + rng.normal(size=(2 * n, 4))).astype(np.float32)
    return Data(inputs[:n], labels[:n], inputs[n:], labels[n:])


def network(body: str) -> Program:
    """The start with another network; `body`: whole statements."""
    return START.swapped({"network": body})


def linear(*widths: int) -> Program:
    """Linear layers with ReLU between them."""
    layers = [f"nn.Linear({i}, {j})" for i, j in pairwise(widths)]
    return network(f"def build():\n    return nn.Sequential({', nn.ReLU(), '.join(layers)})\n")
