from __future__ import annotations

from pathlib import Path

import pytest

from experiments.benchmarks.runs_file import Run, Task, append, read

RUNS = [
    Run(Task("dtlz1", 3, "ours", 1, 400), 0.041, 1.12, 0.6),
    Run(Task("dtlz1", 3, "pymoo", 1, 400), 0.042, 1.11, 1.4),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.csv"


def test_no_file_is_no_runs(path: Path) -> None:
    assert read(path) == []


def test_runs_come_back_in_order(path: Path) -> None:
    for run in RUNS:
        append(path, run)
    assert read(path) == RUNS
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    assert header == "problem,M,side,seed,generations,IGD,HV,CPU seconds"
    assert len(lines) == 2


def test_a_torn_line_is_dropped_and_cut_off(path: Path) -> None:
    append(path, RUNS[0])
    with path.open("a", encoding="utf-8") as file:
        file.write("dtlz1,3,pym")
    assert read(path) == RUNS[:1]
    append(path, RUNS[1])
    assert read(path) == RUNS


def test_a_torn_header_is_written_again(path: Path) -> None:
    path.write_text("problem,M,si", encoding="utf-8")
    assert read(path) == []
    append(path, RUNS[0])
    assert read(path) == RUNS[:1]
    assert path.read_text(encoding="utf-8").startswith("problem,M,side,")
