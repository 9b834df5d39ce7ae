"""SIGKILL at random moments: nothing scored is lost, the resumed run is the same run."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import evolve
from tests.evolve.engine.driver import BIRTHS
from tests.evolve.engine.kills import ROOT, survive
from tests.evolve.engine.problems import dtlz

DRIVER = [sys.executable, "-m", "tests.evolve.engine.driver"]


def killed(folder: Path, mode: str, kills: int, seed: int) -> int:
    """Kill drivers in `folder` from a process of their own; kills that hit."""
    done = subprocess.run(
        [*DRIVER, "kill", str(folder), mode, str(kills), str(seed)],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["ordered", "batched"])
def test_a_driver_killed_20_times_gives_the_same_run(tmp_path: Path, mode: str) -> None:
    whole = evolve.run(dtlz(BIRTHS), tmp_path / "whole")
    folder = tmp_path / "killed"
    assert killed(folder, mode, 20, seed=1) == 20
    run = evolve.load(folder)
    assert run.digest == whole.digest
    in_flight = 2 if mode == "batched" else 1  # births, at a kill
    assert 0 < run.outcomes.get("driver lost", 0) <= 20 * in_flight
    assert committed(folder) == BIRTHS


@pytest.mark.slow
@pytest.mark.ray
def test_a_driver_with_ray_workers_killed_gives_the_same_run(tmp_path: Path) -> None:
    whole = evolve.run(dtlz(BIRTHS), tmp_path / "whole")
    folder = tmp_path / "killed"
    assert survive([*DRIVER, "run", str(folder), "2", "ordered"], folder, BIRTHS, 2, seed=2) == 2
    assert evolve.load(folder).digest == whole.digest


@pytest.mark.slow
@pytest.mark.ray
def test_free_mode_loses_no_score_and_counts_none_twice(tmp_path: Path) -> None:
    """On two workers with uneven durations, so that scores do come out of order."""
    folder = tmp_path / "killed"
    assert survive([*DRIVER, "run", str(folder), "2", "free"], folder, BIRTHS, 2, seed=3) == 2
    told = [record.birth for record in evolve.load(folder).records]
    assert told != sorted(told)
    assert sorted(told) == list(range(BIRTHS))
    assert committed(folder) == BIRTHS


def committed(folder: Path) -> int:
    """How many different places in the commit order are taken."""
    database = sqlite3.connect(folder / "ledger.sqlite")
    found = database.execute("SELECT COUNT(DISTINCT commit_order) FROM score").fetchone()[0]
    database.close()
    return int(found)
