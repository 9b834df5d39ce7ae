"""Islands through kills: of the driver, and of a worker in the middle of a stint."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import evolve
from tests.evolve.engine.chaos.drivers import Order, Zygote, survive
from tests.evolve.engine.stints import BIRTHS, Trapped, driven, islands, stint

pytestmark = [pytest.mark.ray, pytest.mark.slow]

GENERATIONS = stint().generations


@pytest.fixture(scope="module")
def digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the run that nobody kills."""
    return evolve.run(driven(), tmp_path_factory.mktemp("whole") / "run").digest


@pytest.mark.parametrize(("workers", "kills"), [(0, 2), (2, 1)])
def test_a_driver_killed_gives_the_same_run(
    drivers: Zygote, address: str, tmp_path: Path, digest: str, workers: int, kills: int
) -> None:
    folder = tmp_path / "killed"
    order = Order(driven(), folder, workers, address if workers else None)
    assert survive(drivers, order, kills, seed=5) == kills
    run = evolve.load(folder)
    assert run.digest == digest
    assert 0 < run.outcomes["driver lost"] <= kills * max(workers, 1)


@pytest.mark.usefixtures("cluster")
def test_a_worker_killed_in_the_middle_costs_at_most_its_stint(tmp_path: Path) -> None:
    whole = evolve.run(islands(), tmp_path / "whole")
    folder = tmp_path / "evaluated"
    folder.mkdir()
    trap = GENERATIONS + 2  # in the middle of a worker's second stint
    experiment = islands()
    slow = replace(stint(), problem=Trapped(folder, trap))
    killer = threading.Thread(target=kill_the_trapped, args=(folder,), daemon=True)
    killer.start()
    run = evolve.run(replace(experiment, fitness=slow), tmp_path / "run", workers=2)
    killer.join()
    assert run.digest == whole.digest
    assert run.outcomes == {"scored": BIRTHS, "worker lost": 1}
    by_process = Counter(path.name.split("-")[0] for path in folder.glob("[0-9]*-*"))
    assert by_process[(folder / "trapped").read_text()] == trap
    lost = trap % GENERATIONS
    assert sum(by_process.values()) == BIRTHS * GENERATIONS + lost
    assert len(by_process) in (2, 3)  # the new one may come when all is done


def kill_the_trapped(folder: Path) -> None:
    """SIGKILL the process that waits in the middle of a stint, as soon as there is one."""
    deadline = time.monotonic() + 120
    while not (folder / "trapped").exists():
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)
    os.kill(int((folder / "trapped").read_text()), signal.SIGKILL)
