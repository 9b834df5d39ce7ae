"""The robot experiment and its benchmark, on a shorter and smaller problem."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="gymnasium is not installed: no robot is evolved")
pytest.importorskip("mujoco", reason="mujoco is not installed: no robot is evolved")

from experiments import robot_control
from experiments.benchmarks import robot_control as benchmark


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robot_control, "robot", replace(robot_control.robot, steps=12))
    monkeypatch.setattr(robot_control, "POPULATION", 8)


def test_the_experiment_is_what_it_says() -> None:
    own = robot_control.experiment
    assert own.births == robot_control.STINTS == 20
    assert own.search().n_islands == 1  # type: ignore[attr-defined]
    assert own.window() == 1
    assert robot_control.robot.n_parameters == 390


@pytest.mark.parametrize("method", benchmark.METHODS)
def test_a_run_goes_on_to_the_same_outcome(method: str, tmp_path: Path) -> None:
    whole = benchmark.outcome(method, 5, 3, tmp_path / "whole")
    benchmark.outcome(method, 5, 2, tmp_path / "parts")
    parts = benchmark.outcome(method, 5, 3, tmp_path / "parts")
    assert parts.volumes == whole.volumes
    np.testing.assert_array_equal(parts.front, whole.front)
    assert parts.unseen == whole.unseen
    assert len(whole.volumes) == 3
    assert whole.volumes[-1] > 0


def test_methods_of_a_seed_start_from_one_population(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robot_control, "GENERATIONS", 1)  # the first population alone
    first = [benchmark.outcome(method, 3, 1, tmp_path) for method in benchmark.METHODS]
    assert len({each.volumes for each in first}) == 1


def test_the_table_has_every_run_and_the_medians() -> None:
    front = np.array([[-2.0, 1.5], [-0.5, 0.25]])
    runs = [
        benchmark.Outcome("HypE", seed, tuple(volume * k for k in range(1, 6)), front, 0.5)
        for seed, volume in ((0, 1.0), (1, 3.0), (2, 4.0))
    ]
    lines = benchmark.table(runs).splitlines()
    assert lines[0].startswith("| method | seed | 320 evaluations | 1,600 evaluations |")
    assert lines[3] == "| HypE | 1 | 3.000 | 15.000 | 0.500 | 2.00 (1.50) | 0.25 (0.50) |"
    assert lines[5] == "| HypE | median | 3.000 | 15.000 | 0.500 |  |  |"
    assert len(lines) == 6


def test_volume_is_thrice_the_mean_best_speed() -> None:
    # 1 m/s from effort 0.5 on, 2 m/s from 2 on; what is slower than standing adds nothing
    front = np.array([[-1.0, 0.5], [-2.0, 2.0], [0.3, 0.0]])
    assert benchmark.volume(front) == pytest.approx(1.5 * 1 + 1.0 * 2)


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: nothing is drawn")
    front = np.array([[-2.0, 1.5], [-0.5, 0.25]])
    runs = [benchmark.Outcome(method, 0, (1.0,), front, 0.5) for method in benchmark.METHODS]
    benchmark.draw(runs, tmp_path / "fronts.png")
    assert (tmp_path / "fronts.png").stat().st_size > 5_000
