from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import load_file, save_file

from evolve.errors import CheckpointError
from experiments.material import assemble, cached, manifest

BASE = ("base/model.safetensors", "base/config.json", "base/README.md")


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    root = tmp_path / "shipped"
    monkeypatch.setattr(manifest, "ROOT", root)
    monkeypatch.setattr(manifest, "PATH", root / "MANIFEST.json")
    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path / "cache"))
    (root / "base").mkdir(parents=True)
    (root / "experts" / "x").mkdir(parents=True)
    save_file({"emb": torch.zeros(2), "w": torch.zeros(2)}, root / BASE[0])
    (root / BASE[1]).write_text("{}")
    (root / BASE[2]).write_text("base")
    save_file({"w": torch.ones(2)}, root / "experts/x/blocks.safetensors")
    (root / "experts/x/README.md").write_text("expert")
    manifest.write()
    return root


def test_blocks_lie_over_the_base(shipped):
    path = assemble.expert("x", BASE)
    state = load_file(path / "model.safetensors")
    assert {name: tensor.tolist() for name, tensor in state.items()} == {
        "emb": [0.0, 0.0],
        "w": [1.0, 1.0],
    }
    assert (path / "README.md").read_text() == "expert"
    assert (path / "config.json").read_text() == "{}"


def test_builders_at_once_leave_one_directory(shipped):
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: assemble.expert("x", BASE), range(16)))
    assert [*cached.cache().iterdir()] == [*paths]


def test_new_blocks_get_a_new_directory(shipped):
    old = assemble.expert("x", BASE)
    save_file({"w": torch.full((2,), 3.0)}, shipped / "experts/x/blocks.safetensors")
    manifest.write()
    assert assemble.expert("x", BASE) != old


def test_damaged_blocks_leave_nothing(shipped):
    (shipped / "experts/x/blocks.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="sha256"):
        assemble.expert("x", BASE)
    assert not [*cached.cache().iterdir()]


def test_failed_write_leaves_nothing(shipped):
    (shipped / "experts/x/blocks.safetensors").write_bytes(b"damaged")
    manifest.write()
    with pytest.raises(Exception, match="header"):
        assemble.expert("x", BASE)
    assert not [*cached.cache().iterdir()]
