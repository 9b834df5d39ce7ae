from __future__ import annotations

from pathlib import Path

import moocore
import numpy as np
import pytest

pytest.importorskip("pymoo", reason="pymoo is not installed: `pip install -e '.[bench]'`")

from experiments.benchmarks import quality
from experiments.benchmarks.pymoo_problem import FAMILIES, sphere
from experiments.benchmarks.quality import (
    GENERATIONS,
    POPULATION,
    SEEDS,
    generation_times,
    made,
    make_all,
    measured,
    planned,
    points_for,
)
from experiments.benchmarks.runs_file import Task, read


def test_the_plan_is_the_whole_benchmark() -> None:
    tasks = planned(list(GENERATIONS), list(POPULATION), quality.COMPARED, ())
    assert len(tasks) == len(set(tasks)) == 2 * (5 * 21 + 8 * (21 + 11 + 11))
    assert set(FAMILIES) == set(GENERATIONS)
    assert len(set(SEEDS)) == 21
    assert max(SEEDS) < 900  # pilots begin there
    assert {t.side for t in tasks} == {"ours", "pymoo"}
    assert len({t.seed for t in tasks if t.objectives == 8}) == 11


def test_populations_hold_their_points() -> None:
    assert [len(points_for(m)) for m in POPULATION] == [100, 91, 210, 156]
    assert all(size >= len(points_for(m)) and size % 2 == 0 for m, size in POPULATION.items())


def test_metrics_of_a_front_by_hand() -> None:
    line = np.array([[0.0, 10.0], [1.0, 5.0], [2.0, 0.0]])  # ideal (0, 0), nadir (2, 10)
    igd, hv = measured(line, line)
    assert igd == 0
    # scaled (0, 1), (0.5, 0.5), (1, 0) under (1.1, 1.1)
    assert hv == pytest.approx(0.5 * 0.1 + 0.5 * 0.6 + 0.1 * 1.1)
    igd, hv = measured(np.array([[2.0, 10.0]]), line)
    assert igd == pytest.approx((1 + np.sqrt(0.5) + 1) / 3)
    assert hv == pytest.approx(0.01)


def test_metrics_do_not_hang_on_scales() -> None:
    few, true = sphere(3)[::50] * 1.02, sphere(3)
    by = np.array([1.0, 10.0, 100.0])
    assert measured(few * by, true * by) == pytest.approx(measured(few, true))


def test_eight_objectives_are_measured_nearly_exactly() -> None:
    true = sphere(8)
    few = true[:40]
    _, hv = measured(few, true)
    assert hv == pytest.approx(moocore.hypervolume(few, ref=np.full(8, 1.1)), rel=5e-3)


@pytest.mark.parametrize("m", [3, 5, 8])
@pytest.mark.parametrize("side", ["ours", "pymoo", "pymoo-native"])
def test_five_generations_of_each_side(side: str, m: int) -> None:
    run = made(Task("inverted-dtlz2", m, side, 900, 5))
    assert 0 < run.igd < 2
    assert run.hv >= 0
    assert run.cpu_s > 0


def test_a_run_in_the_file_is_not_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs.csv"
    tasks = [Task("zdt1", 2, side, seed, 3) for seed in (900, 901) for side in ("ours", "pymoo")]
    make_all(tasks[:3], out, workers=1)
    first = out.read_text(encoding="utf-8")
    make_all(tasks, out, workers=1)
    assert "1 of 4 runs to make" in capsys.readouterr().out
    assert out.read_text(encoding="utf-8").startswith(first)
    assert [run.task for run in read(out)] == tasks


def test_a_run_made_again_is_the_same_run(tmp_path: Path) -> None:
    task = Task("zdt4", 2, "ours", 900, 5)
    one, two = made(task), made(task)
    assert (one.igd, one.hv) == (two.igd, two.hv)


def test_the_command_line_makes_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GENERATIONS, "dtlz2", {3: 3})
    asked = ["--only", "dtlz2", "--seeds", "900", "901", "--out", str(tmp_path / "runs.csv")]
    quality.main(asked)
    quality.main([*asked, "--report"])
    printed = capsys.readouterr().out
    assert "4 of 4 runs to make" in printed
    assert "| dtlz2 | 3 | 2 |" in printed


def test_generations_take_time() -> None:
    times = generation_times(25, 900)
    assert list(times) == ["ours", "pymoo-stock", "pymoo-native"]
    assert min(times.values()) > 0
