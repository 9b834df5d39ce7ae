"""Evolve a compression profile of SmolLM2-135M-Instruct: bits, depth, sparsity or both.

    evolve run experiments/compress_smollm.py              # bits
    evolve run experiments/compress_smollm.py:depth        # or :sparsity, :joint, :size

Model and text are fetched on first use (140 MB), the level database is built (minutes). 400,000
evaluated tokens a search: about half an hour on one core.
"""

from evolve import Experiment
from evolve.genomes.compression.profile import CompressionProfile
from experiments.arms import front, ours
from experiments.material.smollm2 import smollm2
from experiments.material.wikipedia import wikipedia
from experiments.profiles import Mode, Study


def study(mode: Mode) -> Study:
    """SmolLM2 with Wikipedia passages."""
    return Study(
        name="SmolLM2",
        model=smollm2(),
        mode=mode,
        group=64,
        removed=7,
        calibration=wikipedia("calibration"),
        text=wikipedia("search"),
        held_out=wikipedia("held_out"),
    )


def bits() -> Experiment[CompressionProfile]:
    """2 to 6 bits a layer, at the bytes of 3 bits everywhere."""
    return ours(study(Mode.BITS))


def depth() -> Experiment[CompressionProfile]:
    """Which attentions and MLPs go."""
    return ours(study(Mode.DEPTH))


def sparsity() -> Experiment[CompressionProfile]:
    """Zeros a layer, half of all weights."""
    return ours(study(Mode.SPARSITY))


def joint() -> Experiment[CompressionProfile]:
    """Bits of each layer and which blocks go, at four fifths of the blocks' bytes."""
    return ours(study(Mode.JOINT))


def size() -> Experiment[CompressionProfile]:
    """A front of divergence and bytes, from 2 to 6 bits."""
    return front(study(Mode.BITS))


experiment = bits
