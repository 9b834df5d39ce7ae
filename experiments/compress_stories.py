"""Evolve a compression profile of stories15M: bits, depth, sparsity or both of each layer.

    evolve run experiments/compress_stories.py             # bits
    evolve run experiments/compress_stories.py:depth       # or :sparsity, :joint, :size

The text is the model's own, at temperature 1; its level database is built on first use (a
minute). 400,000 evaluated tokens a search: some five minutes on two cores.
"""

from evolve import Experiment
from evolve.genomes.compression.profile import CompressionProfile
from experiments import material
from experiments.arms import front, ours
from experiments.material.samples import samples
from experiments.profiles import Mode, Study


def study(mode: Mode) -> Study:
    """stories15M with its own samples."""
    return Study(
        name="stories15M",
        model=material.base(),
        mode=mode,
        group=32,
        removed=2,
        calibration=samples("calibration"),
        text=samples("search"),
        held_out=samples("held_out"),
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
