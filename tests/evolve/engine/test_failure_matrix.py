"""Each row of the engine's failure matrix, done for real on a cluster of its own.

For each: the kind that the ledger records, the time until the birth is evaluated again, and that
the run went on to its last birth with the same digest as a run in which nothing went wrong. Last,
who was frozen and thaws again changes nothing: neither a node's worker, nor a driver.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import evolve
from evolve import Needs
from tests.evolve.engine.chaos import mischief
from tests.evolve.engine.chaos.drivers import Driver, Order, Zygote
from tests.evolve.engine.chaos.ledgers import attempts, epochs
from tests.evolve.engine.chaos.mischief import MEMORY, Broken
from tests.evolve.engine.chaos.scene import (
    BIRTHS,
    WORKERS,
    Scene,
    lasted,
    recovered,
    until,
)
from tests.evolve.engine.chaos.town import ALERT, PATIENT, Town, town
from tests.evolve.engine.problems import dtlz_search

pytestmark = [pytest.mark.slow, pytest.mark.ray]

AGAIN = 5.0  # seconds until a birth is evaluated again: a worker is free, or a new one starts
LIMIT = 1.5  # seconds an evaluation may take


@pytest.fixture(scope="module")
def streets() -> Iterator[Town]:
    with town(2, ALERT) as made:
        yield made


@pytest.fixture
def around(streets: Town) -> Town:
    """Two nodes, or two again."""
    while len(streets.nodes) < 2:
        streets.add()
        streets.settle()
    return streets


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, drivers: Zygote) -> str:
    """The digest of a run in which nothing goes wrong."""
    scene = Scene(None, drivers, tmp_path_factory.mktemp("calm"), workers=0)
    return evolve.run(scene.experiment(), scene.folder).digest


@pytest.mark.parametrize("deed", [mischief.RAISE, mischief.STRANGE])
def test_an_exception(around: Town, drivers: Zygote, tmp_path: Path, calm: str, deed: str) -> None:
    scene = Scene(around, drivers, tmp_path, deed).play()
    failed, following = scene.one("exception")
    words = "not today" if deed == mischief.RAISE else "strange, 1 and 2"
    assert words in str(failed.detail)
    assert recovered(failed, following) < AGAIN
    assert scene.went_on(calm)


def test_an_invalid_score(around: Town, drivers: Zygote, tmp_path: Path) -> None:
    """The same seed gives the same answer: no second attempt; the failure is the score."""
    scene = Scene(around, drivers, tmp_path, mischief.NONSENSE).play()
    (failed,) = [each for each in attempts(scene.folder) if each.outcome != "scored"]
    assert failed.outcome == "invalid"
    assert "not finite" in str(failed.detail)
    assert lasted(failed) < AGAIN
    records = evolve.load(scene.folder).records
    assert len(records) == BIRTHS
    (bad,) = [record for record in records if record.score.error is not None]
    assert bad.birth == failed.birth
    assert str(bad.score.error).startswith("invalid: ")


def test_a_worker_that_ends_itself(
    around: Town, drivers: Zygote, tmp_path: Path, calm: str
) -> None:
    scene = Scene(around, drivers, tmp_path, mischief.CRASH).play()
    failed, following = scene.one("worker lost")
    assert lasted(failed) < AGAIN
    assert recovered(failed, following) < AGAIN
    assert scene.went_on(calm)


def test_a_killed_worker(around: Town, drivers: Zygote, tmp_path: Path, calm: str) -> None:
    scene = Scene(around, drivers, tmp_path)
    scene.fitness.hold()
    driver = scene.start()
    victim, *_ = scene.held(WORKERS)
    moment = time.time()
    os.kill(victim, signal.SIGKILL)
    until(lambda: scene.attempts("worker lost"))
    scene.fitness.release()
    driver.ends_well()
    failed, following = scene.one("worker lost")
    assert failed.ended is not None
    assert failed.ended - moment < AGAIN
    assert recovered(failed, following) < AGAIN
    assert scene.went_on(calm)


@pytest.mark.parametrize("deed", [mischief.HANG, mischief.GRIP])
def test_a_hang(around: Town, drivers: Zygote, tmp_path: Path, calm: str, deed: str) -> None:
    """It sleeps, or it loops in C and never lets go of the interpreter's lock."""
    scene = Scene(around, drivers, tmp_path, deed, Needs(timeout=LIMIT)).play()
    failed, following = scene.one("timeout")
    assert LIMIT <= lasted(failed) < LIMIT + 1.0
    assert recovered(failed, following) < AGAIN
    assert scene.went_on(calm)
    (facts,) = scene.fitness.done()
    assert not alive(int(facts["pid"]))


@pytest.mark.parametrize("host", ["", "far"])
def test_a_stopped_process(
    around: Town, drivers: Zygote, tmp_path: Path, calm: str, host: str
) -> None:
    """Here the driver kills it at once; on another host Ray does, five seconds later or more."""
    scene = Scene(around, drivers, tmp_path, mischief.STOP, Needs(timeout=LIMIT), host=host)
    driver = scene.start()
    until(lambda: scene.folder.exists() and scene.fitness.done())
    (facts,) = scene.fitness.done()
    until(lambda: not alive(int(facts["pid"])))
    gone = time.time()
    driver.ends_well()
    failed, following = scene.one("timeout")
    assert LIMIT <= lasted(failed) < LIMIT + 1.0  # its birth does not wait for that
    assert gone - failed.started < LIMIT + (12.0 if host else 6.0)
    assert recovered(failed, following) < AGAIN
    assert scene.went_on(calm)


def test_more_memory_than_allowed(
    around: Town, drivers: Zygote, tmp_path: Path, calm: str
) -> None:
    """`RLIMIT_DATA`: the evaluation fails, its worker lives."""
    scene = Scene(around, drivers, tmp_path, mischief.GREEDY, Needs(memory=MEMORY)).play()
    failed, following = scene.one("out of memory")
    assert recovered(failed, following) < AGAIN
    after = [each.worker for each in scene.attempts("scored")]
    assert failed.worker in after
    assert scene.went_on(calm)


def test_more_memory_than_the_node_has(drivers: Zygote, tmp_path: Path, calm: str) -> None:
    """Ray's memory monitor, told that this machine is nearly full, kills the worker."""
    from ray._private import utils

    full = (utils.get_used_memory() + (2 << 30)) / utils.get_system_memory()
    if full > 0.9:
        pytest.skip("less than 2 GB of memory are free here: the monitor would kill others")
    limits = {**PATIENT, "memory_usage_threshold": full, "memory_monitor_refresh_ms": 100}
    with town(1, limits) as around:
        scene = Scene(
            around, drivers, tmp_path, mischief.EAT, Needs(timeout=60.0), workers=1
        ).play()
    failed, following = scene.one("out of memory")
    assert lasted(failed) < 30.0
    assert recovered(failed, following) < 2 * AGAIN  # only a new worker can
    assert scene.went_on(calm)


def test_a_device_that_no_node_has(around: Town, drivers: Zygote, tmp_path: Path) -> None:
    """Refused before any work; Ray would wait for ever."""
    scene = Scene(around, drivers, tmp_path, needs=Needs(gpus=1))
    began = time.monotonic()
    driver = scene.start()
    assert driver.wait() == 1
    assert time.monotonic() - began < 20.0
    assert "A worker needs 1 CPU, 1 GPU; no node of the cluster has that" in said(driver.words)
    assert not (scene.folder / "ledger.sqlite").exists()


@pytest.mark.parametrize("how", [mischief.RAISE, mischief.CRASH])
def test_a_set_up_that_fails_everywhere(
    around: Town, drivers: Zygote, tmp_path: Path, how: str
) -> None:
    """The run stops and says why; nothing was born, so the same command works once it can."""
    experiment = evolve.Experiment("broken", dtlz_search, Broken(how), BIRTHS)
    began = time.monotonic()
    driver = drivers.start(Order(experiment, tmp_path / "run", WORKERS, around.address))
    assert driver.wait() == 1
    assert time.monotonic() - began < 60.0
    words = said(driver.words)
    assert "WorkerError: Workers cannot be set up" in words
    if how == mischief.RAISE:
        assert "ImportError: the device driver is too old" in words
    assert not (tmp_path / "run" / "ledger.sqlite").exists()


@pytest.mark.parametrize("what", ["worker", "node"])
def test_a_death_during_the_set_up(
    around: Town, drivers: Zygote, tmp_path: Path, calm: str, what: str
) -> None:
    """Of the only worker: that is no set-up that fails everywhere."""
    scene = Scene(around, drivers, tmp_path, setup=2.0, workers=1)
    driver = scene.start()
    until(scene.fitness.setups)
    (victim,) = scene.fitness.setups()
    if what == "worker":
        os.kill(victim, signal.SIGKILL)
    else:
        around.kill(scene.node_of(victim))
    began = time.monotonic()
    until(lambda: len(scene.fitness.setups()) == 2)
    assert time.monotonic() - began < 2 * AGAIN
    driver.ends_well()
    assert {each.outcome for each in attempts(scene.folder)} == {"scored"}
    assert scene.went_on(calm)


def test_a_dead_node(around: Town, drivers: Zygote, tmp_path: Path, calm: str) -> None:
    """Its raylet is killed; what its workers had in flight goes to the other node."""
    scene = Scene(around, drivers, tmp_path)
    scene.fitness.hold()
    driver = scene.start()
    victim, *_ = scene.held(WORKERS)
    moment = time.time()
    around.kill(scene.node_of(victim))
    until(lambda: scene.attempts("node lost"))
    scene.fitness.release()
    driver.ends_well()
    lost = scene.attempts("node lost")
    assert 1 <= len(lost) <= 2
    assert all(each.ended is not None and each.ended - moment < 5.0 for each in lost)
    assert {each.outcome for each in attempts(scene.folder)} == {"scored", "node lost"}
    assert scene.went_on(calm)


def test_a_dead_driver(around: Town, drivers: Zygote, tmp_path: Path, calm: str) -> None:
    """Its workers end with it; the next driver hands out what was in flight, at no cost."""
    scene = Scene(around, drivers, tmp_path)
    scene.fitness.hold()
    driver = scene.start()
    workers = scene.held(WORKERS)
    driver.kill()
    assert driver.wait() == -signal.SIGKILL
    assert until(lambda: not any(alive(pid) for pid in workers)) < 5.0
    scene.fitness.release()
    began = time.time()
    scene.play()
    lost = scene.attempts("driver lost")
    assert len(lost) == WORKERS
    again = [each for each in attempts(scene.folder) if each.epoch == 2]
    assert min(each.started for each in again) - began < 3 * AGAIN  # its workers start first
    assert scene.went_on(calm)


def test_a_dead_head(around: Town, drivers: Zygote, tmp_path: Path, calm: str) -> None:
    """Ray ends the driver and says why; on a new cluster the run goes on."""
    wait = {"gcs_rpc_server_reconnect_timeout_s": 3}  # a minute by default
    with town(1, {**PATIENT, **wait}) as headless:
        scene = Scene(headless, drivers, tmp_path)
        driver = scene.start()
        until(lambda: (scene.folder / "ledger.sqlite").exists() and scene.attempts("scored"))
        scene.fitness.hold()
        os.kill(headless.gcs, signal.SIGKILL)
        assert driver.wait(90.0) != 0
        scene.fitness.release()
    assert "Failed to connect to GCS" in said(driver.words)  # Ray ends the process, and says so
    scene.town = around
    scene.play()
    assert scene.attempts("driver lost")
    assert scene.went_on(calm)


def test_a_frozen_node_is_lost_and_what_it_says_when_it_thaws_is_fenced(
    around: Town, drivers: Zygote, tmp_path: Path, calm: str
) -> None:
    """Its workers seem to be on another host: on its own one the driver kills them at once."""
    scene = Scene(around, drivers, tmp_path, seconds=0.2, host="far")
    scene.fitness.hold()
    driver = scene.start()
    pid, *_ = scene.held(WORKERS)
    node = scene.node_of(pid)
    node.freeze()
    moment = time.time()
    until(lambda: scene.attempts("node lost"))
    node.thaw()
    scene.fitness.release()
    driver.ends_well()
    lost = scene.attempts("node lost")  # the other worker's may be written a moment later
    assert 1 <= len(lost) <= 2
    assert all(each.ended is not None and each.ended - moment < 12.0 for each in lost)
    late = [each for each in attempts(scene.folder) if each.late is not None]
    assert {(each.birth, each.attempt) for each in late} == {
        (each.birth, each.attempt) for each in lost
    }
    assert all(each.outcome == "node lost" for each in late)
    assert evolve.load(scene.folder).fenced == len(lost)
    assert scene.went_on(calm)
    around.kill(node)  # a node that was given up never serves again


def test_a_second_driver_is_refused_also_while_the_first_is_frozen(
    drivers: Zygote, tmp_path: Path, calm: str
) -> None:
    scene = Scene(None, drivers, tmp_path, workers=0)
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
    assert scene.went_on(calm)


def refused(second: Driver, first: Driver) -> None:
    assert second.wait() == 1
    assert f"is being written by a live run (process {first.pid} on " in said(second.words)


def alive(pid: int) -> bool:
    """Whether a process is there and is more than a name."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def said(words: Path) -> str:
    return words.read_text()
