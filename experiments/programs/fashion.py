"""A plain small network for 28 x 28 pictures of clothes, and how it is trained.

What may change lies between the markers; the rest is protected. Knows no test image.
"""

import math

import numpy as np
import torch
from torch import nn

CLASSES, BATCH = 10, 50


# EVOLVE-BLOCK-START network
def build():
    return nn.Sequential(
        nn.Conv2d(1, 12, kernel_size=3, stride=2, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 24, kernel_size=3, padding=1),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(24, 32, kernel_size=3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Linear(32 * 3 * 3, 10),
    )


# EVOLVE-BLOCK-END


# EVOLVE-BLOCK-START optimiser
def optimiser(parameters):
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=0.0)


# EVOLVE-BLOCK-END


# EVOLVE-BLOCK-START schedule
def learning_rate(progress):
    """The share of the optimiser's own rate, at `progress` from 0 to 1."""
    return 1.0


# EVOLVE-BLOCK-END


# EVOLVE-BLOCK-START augment
def augment(images):
    """What one batch (n, 1, 28, 28) is trained on."""
    return images


# EVOLVE-BLOCK-END


def train(inputs, labels, epochs, seed, start=None):
    """The trained tensors by name; `start`: tensors to begin with, where they fit."""
    torch.manual_seed(seed)
    model = build()
    for name, tensor in model.state_dict().items():
        if start and name in start:
            tensor.copy_(torch.from_numpy(start[name]))
    steps = epochs * math.ceil(len(inputs) / BATCH)
    update = optimiser(model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(update, lambda step: learning_rate(step / steps))
    images, targets = torch.from_numpy(inputs), torch.from_numpy(labels)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(BATCH):
            update.zero_grad()
            loss = nn.functional.cross_entropy(model(augment(images[batch])), targets[batch])
            loss.backward()
            update.step()
            schedule.step()
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def predict(weights, inputs):
    """(n, 10) scores of `inputs` by the network with these weights."""
    model = build()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    model.eval()
    with torch.no_grad():
        parts = [model(part) for part in torch.from_numpy(inputs).split(500)]
    return torch.cat(parts).numpy().astype(np.float32)
