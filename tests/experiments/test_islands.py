"""The experiment with islands runs, and its benchmark compares, goes on and times as it says."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import evolve
from evolve.search.islands import population
from experiments.benchmarks import islands as benchmark
from experiments.benchmarks.islands import Found, Setting
from experiments.islands import experiment, stint
from operators.selection import das_dennis

TINY = Setting("tiny", size=12, divisions=4, stints=3)


def test_a_short_run_of_the_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = replace(experiment, fitness=replace(stint, generations=3), births=9)
    run = evolve.run(short, tmp_path / "run")
    assert [record.score.error for record in run.records] == [None] * 9
    assert "reference points" not in capsys.readouterr().out  # chosen here, not in every stint
    assert run.records[8].operator == "migration"
    pop, fit = population(run.records)
    assert pop.shape == (4 * 92, 12)
    assert fit.shape == (4 * 92, 3)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "GENERATIONS", 2)
    monkeypatch.setattr(benchmark, "N_WORKERS", 0)


@pytest.mark.usefixtures("quick")
def test_both_sides_spend_the_same_and_are_read_again(tmp_path: Path) -> None:
    found = {n: benchmark.measure(TINY, n, 0, tmp_path) for n in (4, 1)}
    for n, run in found.items():
        records = evolve.load(tmp_path / f"tiny-{n}-0").records
        assert sum(r.score.metrics["evaluations"] for r in records) == 4 * 12 * 2 * 3
        assert 0 < run.seconds < 60
        assert benchmark.measure(TINY, n, 0, tmp_path) == run


@pytest.mark.usefixtures("quick")
def test_an_interrupted_run_has_no_time(tmp_path: Path) -> None:
    benchmark.measure(TINY, 1, 0, tmp_path)
    with closing(sqlite3.connect(tmp_path / "tiny-1-0" / "ledger.sqlite")) as database:
        database.execute("UPDATE attempt SET epoch = 2 WHERE birth = 2")
        database.commit()
    assert math.isnan(benchmark.seconds(tmp_path / "tiny-1-0", 1, 3))


def test_igd_of_the_front_itself_is_its_spacing() -> None:
    points = das_dennis(3, 12)
    front = (points / points.norm(dim=1, keepdim=True)).numpy()
    far = np.concatenate([front, 3 * front])
    assert benchmark.igd(far, 12) == pytest.approx(0.0543, abs=5e-4)
    assert benchmark.igd(1.5 * far, 12) > 0.5


def test_the_report_lists_every_run() -> None:
    found = {n: [Found(1.0 + n * seed / 1e4, 2.0 * n) for seed in range(5)] for n in (4, 1)}
    *rows, last = benchmark.report("tiny", found)
    assert len(rows) == 2 + 5
    assert "(within)" in last
    assert "4.00 of one population's" in last
