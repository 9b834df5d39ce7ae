"""Evolve a compression profile of stories15M: bits, depth, sparsity or both of each layer.

    evolve run experiments/compress_stories.py             # bits
    evolve run experiments/compress_stories.py:depth       # or :sparsity, :joint, :size, :latency

The text is the model's own, at temperature 1; its level database is built on first use (a
minute). 400,000 evaluated tokens a search: some five minutes on two cores.
"""

from experiments import material
from experiments.arms import searches
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


bits, depth, sparsity, joint, size, latency = searches(study)
experiment = bits
