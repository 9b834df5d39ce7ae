"""Archives: the same bytes everywhere, unfolded once, imported where nothing else is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evolve.engine import unfold as module
from evolve.engine.unfold import (
    content_hash,
    folded,
    import_roots,
    own_sha256,
    same_evolve,
    unfold,
)
from evolve.errors import WorkerError

CONTENT = {
    "trial.py": b"import helper, parts.inner\nprint(helper.N + parts.inner.N, __file__)\n",
    "helper.py": b"N = 40\n",
    "parts/__init__.py": b"",
    "parts/inner.py": b"N = 2\n",
}
NAME = content_hash(CONTENT)


def python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`code` in an interpreter that sees the standard library alone."""
    command = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def write(root: Path) -> None:
    for at, data in CONTENT.items():
        (root / at).parent.mkdir(parents=True, exist_ok=True)
        (root / at).write_bytes(data)


def test_archives_do_not_depend_on_the_order() -> None:
    turned = dict(reversed(CONTENT.items()))
    assert folded(CONTENT) == folded(turned)
    assert content_hash(turned) == NAME
    assert content_hash({**CONTENT, "helper.py": b"N = 41\n"}) != NAME
    assert content_hash({"a.py": b"b", "c.py": b""}) != content_hash({"a.py": b"", "c.py": b"b"})


def test_the_unfolded_code_runs_alone(tmp_path: Path) -> None:
    root = unfold(folded(CONTENT), NAME, tmp_path / "place")
    assert root == tmp_path / "place" / NAME
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = python(f"import sys; sys.path.insert(0, {str(root)!r}); import trial", elsewhere)
    assert (done.stdout, done.returncode) == (f"42 {root / 'trial.py'}\n", 0), done.stderr
    assert (root / "__pycache__").exists()
    assert unfold(folded(CONTENT), NAME, tmp_path / "place") == root, "bytecode is no other code"


@pytest.mark.parametrize("harm", ["change", "lose", "add", "empty"])
def test_what_was_tampered_with_is_written_anew(tmp_path: Path, harm: str) -> None:
    root = unfold(folded(CONTENT), NAME, tmp_path)
    if harm == "change":
        (root / "helper.py").write_text("N = 0\n")
    elif harm == "lose":
        (root / "parts" / "inner.py").unlink()
    elif harm == "add":
        (root / "json.py").write_text("")
    else:
        shutil.rmtree(root)
        root.mkdir()
    assert unfold(folded(CONTENT), NAME, tmp_path) == root
    there = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.py")}
    assert there == CONTENT
    assert not list(tmp_path.glob("part-*"))


def test_workers_of_a_node_race_safely(tmp_path: Path) -> None:
    archive = folded(CONTENT)
    with ThreadPoolExecutor(8) as pool:
        roots = list(pool.map(lambda _: unfold(archive, NAME, tmp_path), range(16)))
    assert set(roots) == {tmp_path / NAME}
    assert {p.name for p in tmp_path.iterdir() if p.is_dir()} == {NAME}


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    for damaged in (folded(CONTENT)[:-30], folded({**CONTENT, "helper.py": b""})):
        with pytest.raises(WorkerError, match=f"{NAME[:12]} was sent: it was damaged"):
            unfold(damaged, NAME, tmp_path)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkerError, match=r"cannot be unfolded in .*file.*set TMPDIR"):
        unfold(folded(CONTENT), NAME, tmp_path / "file")


def test_the_default_place_is_this_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
    root = unfold(folded(CONTENT), NAME)
    assert root.parent == tmp_path / f"evolve-code-{os.getuid()}"
    assert root.parent.stat().st_mode & 0o777 == 0o700
    another = os.getuid() + 1
    root.parent.rename(tmp_path / f"evolve-code-{another}")
    monkeypatch.setattr(module.os, "getuid", lambda: another)
    with pytest.raises(WorkerError, match="it belongs to another user"):
        unfold(folded(CONTENT), NAME)


def test_the_same_code_in_its_own_place_is_imported_there(tmp_path: Path) -> None:
    """Then data beside it is found, as in the driver."""
    archive, place = folded(CONTENT), tmp_path / "place"
    empty, home = tmp_path / "empty", tmp_path / "home"
    empty.mkdir()
    write(home)
    roots = [str(empty), str(home)]
    assert import_roots(archive, NAME, roots, place) == (empty, home)
    assert not place.exists()
    (empty / "helper.py").write_text("N = 0\n")
    assert import_roots(archive, NAME, roots, place) == (place / NAME,), "it would come first"
    (empty / "helper.py").unlink()
    (home / "parts" / "inner.py").unlink()
    assert import_roots(archive, NAME, roots, place) == (place / NAME,)
    assert import_roots(archive, NAME, [str(tmp_path / "gone")], place) == (place / NAME,)


def test_a_node_with_another_evolve_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same_evolve(own_sha256())
    for name in module.OURS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / "fitness" / "data.json").write_text("1")
    monkeypatch.setattr(module, "HOME", tmp_path)
    here = own_sha256.__wrapped__()
    (tmp_path / "fitness" / "data.json").write_text("2")
    assert own_sha256.__wrapped__() == here, "data is none of it"
    (tmp_path / "fitness" / "__init__.py").write_text("x = 1")
    assert own_sha256.__wrapped__() != here
    with pytest.raises(WorkerError, match=f"the driver's has {here[:12]}.*Install the driver's"):
        same_evolve(here)
