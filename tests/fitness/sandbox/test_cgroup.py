"""On folders that look like control groups; the real ones are met in `test_attacks.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from fitness.sandbox import cgroup


def version_1(tmp_path: Path) -> tuple[Path, Path]:
    mounted, process = tmp_path / "cgroup", tmp_path / "self"
    process.mkdir()
    (process / "cgroup").write_text("4:memory:/job\n8:pids:/\n1:cpu,cpuacct:/x\n0::/\n")
    for folder in ("memory/job", "pids"):
        (mounted / folder).mkdir(parents=True)
    return mounted, process


def made(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    """New folders hold the files that the kernel puts into a group."""
    mkdir = Path.mkdir

    def with_files(folder: Path) -> None:
        mkdir(folder)
        for name, text in files.items():
            (folder / name).write_text(text)

    monkeypatch.setattr(Path, "mkdir", with_files)


def test_version_1_limits_memory_and_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted, process = version_1(tmp_path)
    oom = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"
    made(monkeypatch, {"memory.oom_control": oom})
    group = cgroup.make(mounted, process)
    assert group is not None
    assert group.version == 1
    memory, pids = group.folders
    assert (memory.parent, pids.parent) == (mounted / "memory/job", mounted / "pids")
    group.limit(12345)
    assert (memory / "memory.limit_in_bytes").read_text() == "12345"
    assert (pids / "pids.max").read_text() == "512"
    assert group.n_killed() == 3
    assert group.entrances == (memory / "cgroup.procs", pids / "cgroup.procs")


def test_version_2_lies_beside_us_where_it_may_not_lie_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted, process = tmp_path / "cgroup", tmp_path / "self"
    (mounted / "user/session").mkdir(parents=True)
    (mounted / "cgroup.controllers").write_text("memory pids")
    process.mkdir()
    (process / "cgroup").write_text("0::/user/session\n")
    # a folder in which processes are hands on no controller: the new one has no such files
    (mounted / "user/session/cgroup.subtree_control").mkdir()
    mkdir = Path.mkdir

    def with_files(folder: Path) -> None:
        mkdir(folder)
        if folder.parent == mounted / "user":
            (folder / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")

    monkeypatch.setattr(Path, "mkdir", with_files)
    monkeypatch.setattr(Path, "rmdir", lambda folder: None)
    group = cgroup.make(mounted, process)
    assert group is not None
    assert (group.version, group.folders[0].parent) == (2, mounted / "user")
    assert (mounted / "user/cgroup.subtree_control").read_text() == "+memory +pids"
    group.limit(12345)
    assert (group.folders[0] / "memory.max").read_text() == "12345"
    assert group.n_killed() == 1


def test_none_where_it_is_not_permitted(tmp_path: Path) -> None:
    mounted, process = version_1(tmp_path)
    assert cgroup.make(mounted, tmp_path / "nowhere") is None
    assert cgroup.make(mounted, process) is None  # a folder, but not of the kernel's
    assert cgroup.make(tmp_path / "nowhere", process) is None
    (process / "cgroup").write_text("0::/\n")
    assert cgroup.make(mounted, process) is None


def test_groups_of_processes_that_are_gone_are_removed(tmp_path: Path) -> None:
    mounted, process = version_1(tmp_path)
    stale = mounted / "pids" / f"{cgroup.PREFIX}999999999-0"
    alive = mounted / "pids" / f"{cgroup.PREFIX}1-0"
    for folder in (stale, alive):
        folder.mkdir()
    cgroup.make(mounted, process)
    assert not stale.exists()
    assert alive.exists()
