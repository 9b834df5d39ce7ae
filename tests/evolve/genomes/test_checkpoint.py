from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from evolve.errors import CheckpointError
from evolve.genomes.checkpoint import Source, local, read_entries
from tests.evolve.genomes.conftest import Family


@pytest.fixture
def copy(family: Family, tmp_path: Path) -> Path:
    return Path(shutil.copytree(family[0], tmp_path / "copy"))


def test_headers_tell_what_safetensors_loads(family: Family) -> None:
    loaded = load_file(family[0] / "model.safetensors")
    entries = read_entries(family[0])
    assert {name: entry.shape for name, entry in entries.items()} == {
        name: tuple(tensor.shape) for name, tensor in loaded.items()
    }
    assert {entry.dtype for entry in entries.values()} == {"BF16"}


def test_shards_are_one_checkpoint(copy: Path) -> None:
    whole = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    names = list(whole)
    files = {"a.safetensors": names[:5], "b.safetensors": names[5:]}
    for file, mine in files.items():
        save_file({name: whole[name] for name in mine}, copy / file)
    places = {name: file for file, mine in files.items() for name in mine}
    index = copy / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    source = Source.of(copy)
    assert all(
        torch.equal(tensor, whole[name]) for name, tensor in source.tensors(reversed(names))
    )
    (copy / "b.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks b\.safetensors"):
        Source.of(copy)


def test_equal_content_has_an_equal_digest_wherever_it_lies(family: Family, copy: Path) -> None:
    assert Source.of(copy).digest == Source.of(family[0]).digest
    assert Source.of(copy).path != Source.of(family[0]).path


def test_a_changed_weight_or_config_changes_the_digest(copy: Path) -> None:
    before = Source.of(copy).digest
    tensors = load_file(copy / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"] + 1
    save_file(tensors, copy / "model.safetensors")
    os.utime(copy / "model.safetensors", ns=(1, 1))  # equal size: only the time differs
    middle = Source.of(copy).digest
    (copy / "config.json").write_text("{}")
    assert len({before, middle, Source.of(copy).digest}) == 3


def test_hashes_are_remembered_on_disk(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evolve.genomes import checkpoint

    digest = Source.of(copy).digest
    checkpoint._sha256.cache_clear()

    def never(*_: object) -> None:
        raise AssertionError("hashed again")

    monkeypatch.setattr(checkpoint.hashlib, "file_digest", never)
    assert Source.of(copy).digest == digest


def test_a_cache_that_cannot_be_written_costs_time_only(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evolve.genomes import checkpoint

    digest = Source.of(copy).digest
    checkpoint._sha256.cache_clear()
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path / "file"))
    assert Source.of(copy).digest == digest


def test_mapped_tensors_are_private(family: Family) -> None:
    source = Source.of(family[0])
    name = "model.embed_tokens.weight"
    ((_, one),) = source.tensors([name])
    kept = one.clone()
    one.zero_()
    ((_, two),) = source.tensors([name])
    assert torch.equal(two, kept)


@pytest.mark.parametrize("cut", [5, 100, -100])
def test_a_truncated_file_is_refused(copy: Path, cut: int) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match="fetch it again"):
        read_entries(copy)


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", str(tmp_path / "none"), "./a/none"):
        with pytest.raises(CheckpointError, match="no checkpoint directory"):
            local(path)


def test_an_unreachable_hub_id_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def offline(name: str, **_: object) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError(f"no {name}\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(CheckpointError, match=r"'some/model' is neither .* go online"):
        Source.of("some/model")


def test_a_directory_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read"):
        Source.of(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"any \*\.safetensors file"):
        Source.of(tmp_path)


def test_an_adapter_is_no_base(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="LoRA adapter, not a full checkpoint"):
        Source.of(tmp_path)
