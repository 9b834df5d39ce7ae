"""The command line on Ray, in processes of its own: stdout, Ctrl-C, addresses, several nodes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import evolve
from tests.evolve.engine.kills import ROOT, scored
from tests.evolve.engine.problems import dtlz

pytestmark = [pytest.mark.ray, pytest.mark.slow]
EVOLVE = [sys.executable, "-m", "evolve.cli"]

EXPERIMENT = """
    from dataclasses import replace
    from pathlib import Path
    from evolve import Policy
    from tests.evolve.engine.problems import dtlz, unruly
    experiment = {}
"""


def written(folder: Path, expression: str, name: str = "trial") -> Path:
    """An experiment file outside the repository."""
    file = folder / f"{name}.py"
    file.write_text(textwrap.dedent(EXPERIMENT).format(expression))
    return file


def command(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*EVOLVE, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )


def test_stdout_is_ours_even_when_workers_die(tmp_path: Path) -> None:
    dying = f"unruly('die', Path({str(tmp_path)!r}), births=4)"
    file = written(tmp_path, f"replace({dying}, policy=Policy(worker_lost=1))")
    done = command("run", file, "--workers", 2, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("die: 4 births on 2 Ray workers")
    assert not [line for line in lines if "raylet" in line or "pid=" in line or "ray::" in line]
    run = evolve.load(tmp_path / "run")
    assert len(run.records) == 4
    assert run.outcomes["worker lost"] == 1


def test_ctrl_c_stops_cleanly_says_how_to_resume_and_resume_is_exact(
    tmp_path: Path, address: str
) -> None:
    file, out = written(tmp_path, "dtlz(40, seconds=0.1)"), tmp_path / "run"
    process = subprocess.Popen(
        [*EVOLVE, "run", str(file), "--workers", "2", "--out", str(out)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    while scored(out) < 10 and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert f"evolve resume {out}" in stdout
    assert "Traceback" not in stderr
    assert 10 <= scored(out) < 40
    done = command("resume", out, "--workers", 2, "--address", address)
    assert done.returncode == 0, done.stderr
    assert evolve.load(out).digest == evolve.run(dtlz(40), tmp_path / "whole").digest


def test_check_scores_one_candidate_in_a_worker(tmp_path: Path, address: str) -> None:
    file = written(tmp_path, "dtlz(60, seconds=0.05)")
    done = command("check", file, "--workers", 2, "--address", address)
    assert done.returncode == 0, done.stderr
    assert "estimate" in done.stdout
    assert "8 births in flight, 2 workers" in done.stdout
    bad = written(tmp_path, f"unruly('raise', Path({str(tmp_path)!r}), share=2.0)", "bad")
    done = command("check", bad, "--workers", 0)
    assert done.returncode == 2
    assert "could not be scored" in done.stderr


def test_an_address_where_nothing_listens_is_one_clear_error(tmp_path: Path) -> None:
    file = written(tmp_path, "dtlz(10)")
    done = command(
        "run", file, "--workers", 1, "--address", "127.0.0.1:9", "--out", tmp_path / "r"
    )
    assert done.returncode == 2
    assert "Ray cannot be reached at 127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
