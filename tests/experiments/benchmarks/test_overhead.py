from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from evolve import Experiment
from experiments.benchmarks import overhead
from experiments.benchmarks.drivers import DRIVERS, Clock, Driver, Reading, experiment
from experiments.benchmarks.overhead import (
    BUILDS,
    Build,
    Cost,
    finished,
    fresh,
    main,
    measured,
    median,
    per_evaluation,
    present,
)

OURS = DRIVERS[:2]
# The table's test drives ours, and another one Optuna's journal: no third process for them.
HERE = (*(driver.name for driver in OURS), "Optuna, journal")
PRESENT = [d for d in DRIVERS if d.installed() is not None and d.name not in HERE]


def test_the_first_tenth_does_not_count() -> None:
    readings = [Reading(1, 5.0, 9.0), Reading(2, 5.5, 9.5), Reading(20, 5.518, 9.59)]
    cost = per_evaluation(readings)
    assert cost.cpu == pytest.approx(1.0)  # 18 ms for 18
    assert cost.wall == pytest.approx(5.0)


def test_threads_may_read_out_of_order() -> None:
    readings = [Reading(1, 1.0, 1.0), Reading(3, 1.25, 1.25), Reading(2, 1.1, 1.1)]
    assert per_evaluation(readings).cpu == pytest.approx(125.0)


def test_one_generation_is_no_measurement() -> None:
    with pytest.raises(ValueError, match="all of 8 evaluations; give more"):
        per_evaluation([Reading(8, 1.0, 1.0)])


def test_medians_are_of_each_clock() -> None:
    assert median([Cost(1, 30), Cost(2, 10), Cost(9, 20)]) == Cost(2, 20)


def test_an_absent_peer_is_left_out_with_a_hint(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = dataclasses.replace(DRIVERS[0], name="nobody's", packages=("no_such_package",))
    monkeypatch.setattr(overhead, "DRIVERS", (DRIVERS[0], absent))
    assert present() == [DRIVERS[0]]
    assert "nobody's is left out: pip install -e '.[bench]'" in capsys.readouterr().out


def test_optuna_keeps_every_trial(tmp_path: Path) -> None:
    """Two threads of this process: no cluster is needed."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    (journal,) = (driver for driver in DRIVERS if driver.name == "Optuna, journal")
    clock = Clock()
    journal.drive(12, tmp_path / "kept", clock)
    assert sorted(reading.done for reading in clock.readings) == list(range(1, 13))
    backend = JournalFileBackend(str(tmp_path / "kept" / "study.log"))
    (study,) = optuna.get_all_study_summaries(optuna.storages.JournalStorage(backend))
    assert study.n_trials == 12
    assert study.best_trial is not None
    assert study.best_trial.value == abs(study.best_trial.params["x0"] - 0.5)


def test_the_no_op_is_the_peers() -> None:
    run = experiment(1)
    founder = run.search().ask(0, None).genome  # type: ignore[arg-type, union-attr]
    (score,) = run.fitness.evaluate([founder], 0, 0)
    assert score.values == (abs(founder.values[0] - 0.5),)


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS.keys())
def test_a_longer_run_resumes_a_shorter_one(build: Build) -> None:
    def same(run: Experiment[Any]) -> tuple[object, ...]:
        return run.name, run.seed, run.order, run.window(), run.fitness.objectives

    assert same(build(10)) == same(build(18))
    assert build(18).births == 18


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("driver", PRESENT, ids=lambda driver: driver.name)
def test_a_driver_tells_the_clock_of_every_evaluation(driver: Driver, tmp_path: Path) -> None:
    short = dataclasses.replace(driver, evaluations=200 if "100" in driver.name else 16)
    with overhead.cluster() as address:
        readings = fresh(measured, short, tmp_path / "kept", address, tmp_path / "log")
    assert max(reading.done for reading in readings) == short.evaluations
    assert per_evaluation(readings).cpu > 0


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_the_time_to_resume_is_measured_on_a_copy(tmp_path: Path) -> None:
    log = tmp_path / "log"
    fresh(finished, experiment, 20, tmp_path / "run", log)
    with overhead.cluster() as address:
        seconds = fresh(overhead.resumed, experiment, 20, tmp_path / "run", address, log)
    assert 0 < seconds < 60


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_the_table_has_a_row_a_driver(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[Reading]] = []

    def kept(*given: Any) -> list[Reading]:
        found.append(fresh(*given))
        return found[-1]

    short = [dataclasses.replace(driver, evaluations=160) for driver in OURS]
    monkeypatch.setattr(overhead, "DRIVERS", short)
    monkeypatch.setattr(overhead, "fresh", kept)
    assert main(["--quick"]) == 0
    assert [max(reading.done for reading in each) for each in found] == [16, 16]
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ours")]
    assert len(rows) == 2
    assert "≤ 2: " in rows[0]
    assert "| 1 |" in rows[0]
