"""SIGKILL at random moments: nothing scored is lost, the resumed run is the same run."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

import evolve
from tests.evolve.engine.chaos import drivers as forked
from tests.evolve.engine.chaos.drivers import Order, Zygote
from tests.evolve.engine.driver import BIRTHS, experiment
from tests.evolve.engine.kills import killed
from tests.evolve.engine.problems import dtlz

pytestmark = pytest.mark.slow
DRIVER = [sys.executable, "-m", "tests.evolve.engine.driver"]


@pytest.fixture(scope="module")
def digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the run that nobody kills."""
    return evolve.run(dtlz(BIRTHS), tmp_path_factory.mktemp("whole") / "run").digest


@pytest.mark.parametrize(
    ("mode", "kills"),
    [("ordered", 20), ("batched", 6), pytest.param("batched", 20, marks=pytest.mark.soak)],
)
def test_a_driver_killed_often_gives_the_same_run(
    drivers: Zygote, tmp_path: Path, digest: str, mode: str, kills: int
) -> None:
    folder = tmp_path / "killed"
    assert forked.survive(drivers, Order(experiment(mode), folder, 0), kills, seed=1) == kills
    run = evolve.load(folder)
    assert run.digest == digest
    in_flight = 2 if mode == "batched" else 1  # births, at a kill
    assert 0 < run.outcomes.get("driver lost", 0) <= kills * in_flight
    assert committed(folder) == BIRTHS


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_a_driver_with_ray_workers_killed_gives_the_same_run(tmp_path: Path, digest: str) -> None:
    """Its Ray was its own, and ended with it."""
    folder = tmp_path / "killed"
    killed([*DRIVER, str(folder), "2", "ordered"], folder, BIRTHS, seed=2)
    run = evolve.run(experiment("ordered"), folder, workers=2, resume=True)
    assert 0 < run.outcomes["driver lost"] <= 2
    assert run.digest == digest


@pytest.mark.ray
def test_free_mode_loses_no_score_and_counts_none_twice(
    drivers: Zygote, address: str, tmp_path: Path
) -> None:
    """On two workers with uneven durations, so that scores do come out of order."""
    folder = tmp_path / "killed"
    order = Order(experiment("free"), folder, 2, address)
    assert forked.survive(drivers, order, 2, seed=3) == 2
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
