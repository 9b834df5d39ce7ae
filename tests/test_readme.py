"""The README stays true: its examples and commands run, from outside the repository."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from evolve import Failure, Policy

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines), "a console block shows commands only"
    return [line.removeprefix("$ ") for line in lines]


def test_every_command_is_one_of_make_or_evolve() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for command in commands():
        first, *rest = shlex.split(command)
        assert first in ("make", "evolve", "git"), command
        if first == "make":
            assert set(rest) <= targets, command


def test_the_custom_fitness_has_fifteen_lines() -> None:
    assert len(blocks("python")[0].strip().splitlines()) == 15


@pytest.mark.slow
@pytest.mark.ray
def test_the_custom_fitness_runs_outside_the_repository_on_ray(tmp_path: Path) -> None:
    example, from_python, _ = blocks("python")
    (tmp_path / "my_merge.py").write_text(example.replace("births=40", "births=12"))
    for command in commands():
        words = shlex.split(command)
        if words[0] != "evolve":
            continue
        if words[1] == "check":
            words += ["--workers", "0"]  # a Ray fewer; `run` has one
        elif words[1] == "run":
            words += ["--births", "8"]
        done = subprocess.run(
            [sys.executable, "-m", "evolve.cli", *words[1:]],
            cwd=tmp_path, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    shown = subprocess.run(
        [sys.executable, "-m", "evolve.cli", "show", "runs/mine", "--json"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(shown.stdout)
    assert found["told"] == 8
    assert found["failures"] == {}
    assert (tmp_path / "runs/mine/winner/model.safetensors").exists()
    (tmp_path / "here.py").write_text(from_python)
    done = subprocess.run(
        [sys.executable, "here.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, env=dict(os.environ),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(" 12")


def test_the_policy_is_the_one_in_force() -> None:
    table = TEXT.partition("| kind | attempts |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ([a-z ]+) \| ([0-9]+|no limit) \|", table, flags=re.MULTILINE)
    assert [kind for kind, _ in rows] == [str(kind) for kind in Failure]
    for kind, tries in rows:
        if tries != "no limit":
            assert Policy().tries(Failure(kind)) == int(tries)


def test_the_selection_example_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", blocks("python")[2]], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("torch.Size([92])")
