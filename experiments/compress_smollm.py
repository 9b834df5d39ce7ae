"""Evolve a compression profile of SmolLM2-135M-Instruct: bits, depth, sparsity or both.

    evolve run experiments/compress_smollm.py              # bits
    evolve run experiments/compress_smollm.py:depth        # or :sparsity, :joint, :size, :latency

Model and text are fetched on first use (140 MB), the level database is built (minutes). 400,000
evaluated tokens a search: about half an hour on one core.
"""

from experiments.arms import searches
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


bits, depth, sparsity, joint, size, latency = searches(study)
experiment = bits
