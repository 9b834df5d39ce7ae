"""Versions, machine and commit."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from evolve.engine.fingerprint import changes, commit_of, fingerprint

WHO = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in no repository, wherever temporary folders lie."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # set inside a hook
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "code").mkdir()
    return tmp_path / "code"


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *WHO, "-C", str(folder), *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def committed(folder: Path) -> str:
    """A repository of one commit with one file; its hash."""
    git(folder, "init", "-q")
    (folder / "trial.py").write_text("x = 1\n")
    git(folder, "add", "trial.py")
    git(folder, "commit", "-q", "-m", "Begin")
    return git(folder, "rev-parse", "HEAD")


def test_the_commit_of_a_clean_repository(folder: Path) -> None:
    head = committed(folder)
    assert len(head) == 40
    assert commit_of(folder) == head
    (folder / "below").mkdir()
    assert commit_of(folder / "below") == head


def test_changes_are_said_and_results_beside_the_code_are_none(folder: Path) -> None:
    head = committed(folder)
    (folder / "runs").mkdir()
    (folder / "runs" / "ledger.sqlite").write_text("")
    assert commit_of(folder) == head
    (folder / "trial.py").write_text("x = 2\n")
    assert commit_of(folder) == f"{head}+changes"


def test_no_commit_is_empty(folder: Path) -> None:
    assert commit_of(folder) == ""
    git(folder, "init", "-q")
    assert commit_of(folder) == "", "a repository without a commit"
    assert commit_of(folder / "missing") == ""


def test_no_git_is_no_commit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed(folder)
    monkeypatch.setenv("PATH", str(folder))
    assert commit_of(folder) == ""


def test_the_fingerprint_names_what_bits_depend_on() -> None:
    found = fingerprint()
    packages = found["packages"]
    assert isinstance(packages, dict)
    assert found["python"] == platform.python_version()
    assert found["threads"] == 1
    assert packages["torch"] == version("torch")
    assert packages["evolve"] == version("evolve")
    assert json.loads(json.dumps(found)) == found
    assert found["device"] == "cpu"


def test_the_device_is_named_where_gpus_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    assert fingerprint(gpus=0.5)["device"] == "a GPU"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert fingerprint(gpus=0.5)["device"] == "cuda of the workers"
    assert fingerprint()["instructions"] == torch.backends.cpu.get_cpu_capability()


def test_versions_that_changed_are_named() -> None:
    now = fingerprint()
    assert changes(json.loads(json.dumps(now)), now) == ""
    packages = now["packages"]
    assert isinstance(packages, dict)
    then = {**now, "python": "3.0", "packages": {**packages, "torch": "1.0", "gone": "2"}}
    assert changes(then, now) == (
        f"python 3.0 -> {platform.python_version()}, torch 1.0 -> {packages['torch']}, "
        "gone 2 -> none"
    )
    assert changes(None, now) == "", "begun before fingerprints were written"


def test_a_package_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolve.engine.fingerprint.PACKAGES", ("numpy", "no-such-package"))
    assert fingerprint()["packages"] == {"numpy": version("numpy")}
