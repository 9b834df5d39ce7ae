"""Who was frozen and thaws again changes nothing: neither a node's worker, nor a driver."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import evolve
from tests.evolve.engine.chaos.drivers import Driver, Zygote, zygote
from tests.evolve.engine.chaos.ledgers import attempts
from tests.evolve.engine.chaos.scene import WORKERS, Scene, until
from tests.evolve.engine.chaos.town import ALERT, town

pytestmark = [pytest.mark.slow]


@pytest.fixture
def drivers(tmp_path: Path) -> Iterator[Zygote]:
    with zygote(tmp_path / "drivers") as made:
        yield made


@pytest.mark.ray
def test_a_frozen_node_is_lost_and_what_it_says_when_it_thaws_is_fenced(
    tmp_path: Path, drivers: Zygote
) -> None:
    """Its workers seem to be on another host: on its own one the driver kills them at once."""
    with town(2, ALERT) as around:
        scene = Scene(around, drivers, tmp_path, births=40, seconds=0.2, host="far")
        scene.fitness.hold()
        driver = scene.start()
        pid, *_ = scene.held(WORKERS)
        node = scene.node_of(pid)
        node.freeze()
        moment = time.time()
        until(lambda: scene.attempts("node lost"))
        lost = scene.attempts("node lost")
        node.thaw()
        scene.fitness.release()
        driver.ends_well()
    assert 1 <= len(lost) <= 2
    assert all(each.ended is not None and each.ended - moment < 12.0 for each in lost)
    late = [each for each in attempts(scene.folder) if each.late is not None]
    assert {(each.birth, each.attempt) for each in late} == {
        (each.birth, each.attempt) for each in lost
    }
    assert all(each.outcome == "node lost" for each in late)
    assert evolve.load(scene.folder).fenced == len(lost)
    whole = evolve.run(quick(scene), tmp_path / "whole")
    assert scene.went_on(whole.digest)


def test_a_second_driver_is_refused_also_while_the_first_is_frozen(
    tmp_path: Path, drivers: Zygote
) -> None:
    scene = Scene(None, drivers, tmp_path, workers=0)
    whole = evolve.run(scene.experiment(), tmp_path / "whole")
    scene.fitness.hold()
    first = scene.start()
    scene.held(1)
    refused(scene.start(), first)
    first.kill(signal.SIGSTOP)
    refused(scene.start(), first)
    first.kill(signal.SIGCONT)
    scene.fitness.release()
    first.ends_well()
    assert epochs(scene.folder) == 1
    assert scene.went_on(whole.digest)


def quick(scene: Scene) -> evolve.Experiment[Any]:
    """The same without its sleep."""
    experiment = scene.experiment()
    return replace(experiment, fitness=replace(scene.fitness, seconds=0.0))


def refused(second: Driver, first: Driver) -> None:
    assert second.wait() == 1
    words = second.words.read_text()
    assert f"is being written by a live run (process {first.pid} on " in words


def epochs(folder: Path) -> int:
    database = sqlite3.connect(folder / "ledger.sqlite")
    (count,) = database.execute("SELECT COUNT(*) FROM epoch").fetchone()
    database.close()
    return int(count)
