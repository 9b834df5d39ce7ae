from pathlib import Path

import pytest

from evolve.errors import ExportError
from evolve.export.directory import appearing


def test_appears_when_done(tmp_path: Path) -> None:
    with appearing(tmp_path / "to") as folder:
        (folder / "file").write_text("text")
        (folder / "file").chmod(0o600)
        (folder / "deep").mkdir(mode=0o700)
        (folder / "deep" / "file").write_text("more")
        assert not (tmp_path / "to").exists()
    assert (tmp_path / "to" / "file").read_text() == "text"
    assert (tmp_path / "to" / "deep" / "file").read_text() == "more"
    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "to").iterdir()}
    assert modes == {"file": 0o644, "deep": 0o755}
    assert [path.name for path in tmp_path.iterdir()] == ["to"]


def test_any_failure_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with appearing(tmp_path / "to") as folder:
            (folder / "file").write_text("text")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_a_target_that_came_meanwhile_is_not_touched(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="exists already"), appearing(tmp_path / "to"):
        (tmp_path / "to").mkdir()
    assert not list((tmp_path / "to").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["to"]


def test_a_dangling_link_counts_as_existing(tmp_path: Path) -> None:
    (tmp_path / "to").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ExportError, match="exists already"), appearing(tmp_path / "to"):
        pass


def test_a_parent_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="export elsewhere"), appearing(tmp_path / "file" / "to"):
        pass
