"""Start programs to mutate, as text: a Sequential, a class with functional activations, rows with
a named width, a list of layers with classes of the program's own, and one whole function."""

from __future__ import annotations

from evolve.genome import digest
from evolve.genomes.program.program import Program
from evolve.score import Record, Score

_AROUND = """import math

import torch
import torch.nn.functional as F
from torch import nn

CLASSES = 10

# EVOLVE-BLOCK-START network
NETWORK
# EVOLVE-BLOCK-END


# EVOLVE-BLOCK-START optimiser
def optimiser(parameters):
    return torch.optim.SGD(parameters, lr=0.02, momentum=0.9, nesterov=True, weight_decay=1e-4)


# EVOLVE-BLOCK-END


# EVOLVE-BLOCK-START schedule
def learning_rate(progress):
    return 1.0


# EVOLVE-BLOCK-END


# EVOLVE-BLOCK-START augment
def augment(images):
    return images


# EVOLVE-BLOCK-END


def train(inputs, labels, epochs, seed, start=None):
    torch.manual_seed(seed)
    model, images, targets = build(), torch.from_numpy(inputs), torch.from_numpy(labels)
    update = optimiser(model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(update, lambda step: learning_rate(step / epochs))
    for _ in range(epochs):
        update.zero_grad()
        nn.functional.cross_entropy(model(augment(images)), targets).backward()
        update.step()
        schedule.step()
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def predict(weights, inputs):
    model = build()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    with torch.no_grad():
        return model.eval()(torch.from_numpy(inputs)).numpy()
"""

SEQUENTIAL = """def build():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, kernel_size=3, padding=1, bias=False),
        nn.GroupNorm(4, 16),
        nn.GELU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 2 * 2, 32),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(32, CLASSES),
    )
"""

FORWARD = """class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.second = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.norm = nn.BatchNorm2d(2 * width)
        self.block = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(16, 24)
        self.out = nn.Linear(24, 10)

    def forward(self, x):
        x = F.relu(self.first(x))
        x = F.max_pool2d(x, 2)
        x = torch.tanh(self.norm(self.second(x)))
        x = x + self.block(x)
        x = F.adaptive_avg_pool2d(x, 1)
        x = x.view(x.size(0), -1)
        x = F.dropout(F.gelu(self.head(x)), 0.2, training=self.training)
        return self.out(x)


def build():
    return Net()
"""

ROWS = """def build():
    width = 32
    hidden = width // 2
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, width), nn.Tanh(),
        nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.Tanh(),
        nn.Linear(hidden, 10),
    )
"""

LISTED = """class Half(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.active = nn.SiLU()

    def forward(self, x):
        return self.active(self.norm(self.conv(x)))


class Around(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


def build():
    active = nn.ReLU
    layers = [
        Half(1, 8),
        Half(8, 12, stride=2),
        Around(nn.Sequential(nn.Conv2d(12, 12, 3, padding=1, groups=12), active())),
        Half(12, 16, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    ]
    return nn.Sequential(*layers)
"""

NETWORKS = {"sequential": SEQUENTIAL, "forward": FORWARD, "rows": ROWS, "listed": LISTED}


def program(network: str = SEQUENTIAL) -> Program:
    """The program `net.py` with this network."""
    return Program({"net.py": _AROUND.replace("NETWORK", network)})


def whole_function() -> Program:
    """One evolvable function, and no markers."""
    text = f"from torch import nn\n\nCLASSES = 10\n\n\n{SEQUENTIAL}"
    return Program({"net.py": text}, ("net.py:build",))


def record(genome: Program, birth: int = 0) -> Record[Program]:
    return Record(birth, genome, digest(genome), Score((0.0,)))
