from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evolve.genomes.compression.anatomy import Anatomy
from evolve.genomes.compression.space import BitGrid
from evolve.levels import estimate
from evolve.levels.build import Plan
from evolve.levels.estimate import operations, seconds
from evolve.levels.settings import Method, Settings
from tests.evolve.genomes.compression.families import write


def plan(model: Path, n: int = 4, bits: tuple[int, ...] = (2, 4)) -> Plan:
    settings = Settings(BitGrid(bits, 16), Method.GPTQ)
    return Plan.of(Anatomy.of(model), settings, np.zeros((n, 16), np.int64), model / "levels")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "model", "llama")


def test_operations(model: Path) -> None:
    walk, solving = operations(plan(model))
    # A block: q 32x32, k and v 16x32, o 32x32; gate and up 48x32, down 32x48.
    weights = 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 48 * 32)
    sums = 2 * (3 * 32**2 + 48**2)
    assert walk == 2 * 64 * (weights + sums)
    assert operations(plan(model, n=8))[0] == 2 * walk
    assert operations(plan(model, bits=(2, 3, 4)))[1] > solving


def test_more_work_takes_longer_and_more_workers_shorter(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "products_a_second", lambda: 1e9)
    one = seconds(plan(model), 1)
    assert 0 < seconds(plan(model), 2) < one == seconds(plan(model), 0)
    assert seconds(plan(model, n=40), 1) > one
    assert seconds(plan(model, bits=(2, 3, 4)), 1) > one
