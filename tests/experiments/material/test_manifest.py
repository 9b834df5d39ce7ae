import pytest

from evolve.errors import CheckpointError
from experiments.material import manifest


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "ROOT", tmp_path)
    monkeypatch.setattr(manifest, "PATH", tmp_path / "MANIFEST.json")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "a").write_text("one")
    manifest.write()
    return tmp_path


def test_pinned_files_are_found(shipped):
    assert manifest.verified(["base/a"]) == [shipped / "base" / "a"]


def test_changed_file_is_refused(shipped):
    (shipped / "base" / "a").write_text("two")
    with pytest.raises(CheckpointError, match=r"sha256 .* pins .*git checkout"):
        manifest.verified(["base/a"])


def test_missing_file_is_refused(shipped):
    (shipped / "base" / "a").unlink()
    with pytest.raises(CheckpointError, match="missing"):
        manifest.verified(["base/a"])


def test_unpinned_file_is_refused(shipped):
    with pytest.raises(CheckpointError, match="not in MANIFEST"):
        manifest.verified(["base/b"])
