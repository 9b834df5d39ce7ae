import pytest

from experiments.material import cached


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path))


def test_folder_is_made_once(tmp_path):
    made = []

    def write(folder):
        made.append(folder)
        (folder / "a").write_text("one")

    first, second = cached.folder("x-1", write), cached.folder("x-1", write)
    assert first == second == tmp_path / "material" / "x-1"
    assert len(made) == 1
    assert [*first.parent.iterdir()] == [first]


def test_failed_write_leaves_nothing(tmp_path):
    def write(folder):
        (folder / "a").write_text("half")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        cached.folder("x-1", write)
    assert [*(tmp_path / "material").iterdir()] == []
