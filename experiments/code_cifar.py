"""Evolve the source of an ExquisiteNet-like network on CIFAR-10: real training, on a GPU.

    evolve run experiments/code_cifar.py --workers 1

30 epochs a candidate on 45,000 images, scored on 5,000; 120 candidates. Never run by us for want
of a GPU: the start program is tested on a processor, on a few images. The photographs are fetched
at the first run (139 MB). Without a GPU it says so and runs nothing.
"""

from dataclasses import replace
from pathlib import Path

import torch

from evolve import Experiment, Final, Genetic
from evolve.errors import ExperimentError
from evolve.export.program import ProgramExporter
from evolve.genomes.program.program import Program
from experiments.material.cifar10 import cifar10
from experiments.material.images import scored_on
from experiments.mutators import ONCE, code_operators, front_search
from fitness.harness import Bounds, Classification
from fitness.sandbox import Limits

if not torch.cuda.is_available():  # before 139 MB are fetched
    raise ExperimentError(
        "code_cifar trains each candidate on a GPU, and torch finds no CUDA device here; run it "
        "where there is one, or try experiments/code_fashion.py."
    )

TASK = (
    "It defines and trains a network that tells ten classes of photographs of 32 x 32 pixels "
    "(CIFAR-10) apart, in 30 epochs on a GPU. It shall be accurate with few parameters."
)
start = Program.read(Path(__file__).parent / "programs" / "cifar.py")
validation = Classification(
    start,
    scored_on(cifar10(), "validation"),
    rungs=(30,),
    bounds=Bounds(parameters=1_000_000, accuracy=0.5),
    keep_weights=True,
    limits=Limits(seconds=1800, gpu=True),
)


def search() -> Genetic[Program]:
    """NSGA-II from one start program, which must work."""
    operators = code_operators(validation.objectives, TASK, start)
    return front_search(start, validation, operators, window=4)


experiment = Experiment(
    name="code_cifar",
    search=search,
    fitness=validation,
    births=120,
    final=Final(
        replace(validation, data=scored_on(cifar10(), "test")),
        {"start": [start]},
        ProgramExporter(start, validation, __file__),
    ),
    policy=ONCE,
)
