"""A network of about 380,000 parameters for CIFAR-10, trained on a GPU.

In the manner of ExquisiteNetV2, from which Guided Evolution starts, but written anew: separable
convolutions, blocks with a residual sum and squeeze-and-excitation, few channels at first.
What may change lies between the markers; the rest is protected. Knows no test image.
"""

import math

import numpy as np
import torch
from torch import nn

CLASSES, BATCH = 10, 128


# EVOLVE-BLOCK-START block
class Excite(nn.Module):
    def __init__(self, width, reduction=4):
        super().__init__()
        self.scale = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, width // reduction, kernel_size=1),
            nn.Hardswish(),
            nn.Conv2d(width // reduction, width, kernel_size=1),
            nn.Hardsigmoid(),
        )

    def forward(self, x):
        return x * self.scale(x)


class Block(nn.Module):
    def __init__(self, width, kernel=3):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.Conv2d(width, width, kernel_size=1, bias=False),
            nn.BatchNorm2d(width),
            nn.Hardswish(),
            nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.Conv2d(width, width, kernel_size=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.excite = Excite(width)
        self.act = nn.Hardswish()

    def forward(self, x):
        return self.act(x + self.excite(self.body(x)))


# EVOLVE-BLOCK-END


# EVOLVE-BLOCK-START down
class Down(nn.Module):
    """Half the height and width, another number of channels."""

    def __init__(self, before, after):
        super().__init__()
        self.mix = nn.Conv2d(before, after, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(after)
        self.pool = nn.MaxPool2d(2)
        self.act = nn.Hardswish()

    def forward(self, x):
        return self.pool(self.act(self.norm(self.mix(x))))


# EVOLVE-BLOCK-END


# EVOLVE-BLOCK-START network
def build():
    return nn.Sequential(
        nn.Conv2d(3, 32, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.Hardswish(),
        Block(32),
        Block(32),
        Down(32, 96),
        Block(96),
        Block(96),
        Down(96, 192),
        Block(192),
        Block(192),
        Block(192),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(192, 10),
    )


# EVOLVE-BLOCK-END


# EVOLVE-BLOCK-START optimiser
def optimiser(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.0005, nesterov=True)


# EVOLVE-BLOCK-END


# EVOLVE-BLOCK-START schedule
def learning_rate(progress):
    """The share of the optimiser's own rate, at `progress` from 0 to 1."""
    warm = 0.05
    if progress < warm:
        return progress / warm
    return 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))


# EVOLVE-BLOCK-END


# EVOLVE-BLOCK-START augment
def augment(images):
    """What one batch (n, 3, 32, 32) is trained on: shifted by up to four pixels, half mirrored."""
    padded = nn.functional.pad(images, (4, 4, 4, 4))
    top, left = torch.randint(9, (2,)).tolist()
    shifted = padded[:, :, top : top + 32, left : left + 32]
    mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(mirrored, shifted.flip(3), shifted)


# EVOLVE-BLOCK-END


def device():
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def normalised(inputs):
    """uint8 pixels as floats of about unit variance."""
    return (torch.from_numpy(inputs).to(device()).float() - 120) / 64


def train(inputs, labels, epochs, seed, start=None):
    """The trained tensors by name; `start`: tensors to begin with, where they fit."""
    torch.manual_seed(seed)
    model = build().to(device())
    for name, tensor in model.state_dict().items():
        if start and name in start:
            tensor.copy_(torch.from_numpy(start[name]))
    steps = epochs * math.ceil(len(inputs) / BATCH)
    update = optimiser(model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(update, lambda step: learning_rate(step / steps))
    images, targets = normalised(inputs), torch.from_numpy(labels).to(device())
    half = device().type == "cuda"
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).to(images.device).split(BATCH):
            update.zero_grad()
            with torch.autocast(device().type, torch.bfloat16, enabled=half):
                scores = model(augment(images[batch]))
                loss = nn.functional.cross_entropy(scores, targets[batch], label_smoothing=0.1)
            loss.backward()
            update.step()
            schedule.step()
    return {name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()}


def predict(weights, inputs):
    """(n, 10) scores of `inputs` by the network with these weights."""
    model = build().to(device())
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    model.eval()
    with torch.no_grad():
        parts = [model(part) for part in normalised(inputs).split(500)]
    return torch.cat(parts).cpu().numpy().astype(np.float32)
