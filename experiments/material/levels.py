"""Level databases of the material's models, built on first use. Knows no search.

from experiments.material.levels import levels
levels(material.base(), BitGrid(group=32), samples("calibration"))
"""

import hashlib
from pathlib import Path

import numpy as np

from evolve.genome import canonical
from evolve.genomes.checkpoint import cache_dir
from evolve.genomes.compression.anatomy import Anatomy
from evolve.genomes.compression.database import MANIFEST
from evolve.genomes.compression.space import BitGrid, ZeroGrid


def levels(model: Path, grid: BitGrid | ZeroGrid, tokens: np.ndarray) -> Path:
    """The database of `model` by GPTQ or SparseGPT in $EVOLVE_CACHE/levels, in this process.

    `tokens`: (n, length) integers to calibrate with. A build that was killed is resumed: 1 minute
    for stories15M on one core, some 15 for SmolLM2. Raises `GenomeError`.
    """
    from evolve.levels.build import Plan, build
    from evolve.levels.settings import Method, Settings

    method = Method.GPTQ if isinstance(grid, BitGrid) else Method.SPARSEGPT
    root = cache_dir() / "levels"
    plan = Plan.of(Anatomy.of(model), Settings(grid, method), tokens, root)
    key = hashlib.sha256(canonical(plan.facts).encode()).hexdigest()
    place = root / f"{model.name}-{key[:16]}"
    if not (place / MANIFEST).exists():
        print(f"Building the level database {place} ...", flush=True)
        build(Plan.of(plan.anatomy, plan.settings, plan.tokens, place))
    return place
