from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from evolve.errors import CheckpointError
from evolve.genome import digest
from evolve.genomes.checkpoint import Source
from evolve.genomes.merge import MergeRecipe, MergeSpace
from evolve.genomes.methods import Method
from tests.evolve.genomes.conftest import Family
from tests.evolve.genomes.test_preflight import Disk

MODULE = "model.layers.1.self_attn.q_proj"


def write_adapter(folder: Path, base: Path) -> Path:
    """A rank-2 LoRA on the query projections with non-zero B."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj"], task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT uses a deprecated name
        get_peft_model(model, config).save_pretrained(folder)
    file = folder / "adapter_model.safetensors"
    generator = torch.Generator().manual_seed(0)
    noise = {
        name: 0.1 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in load_file(file).items()
    }
    save_file(noise, file)
    return folder


@pytest.fixture(scope="module")
def adapter(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tmp_path_factory.mktemp("adapters") / "mine", family[0])


def space_of(family: Family, adapter: Path) -> MergeSpace:
    experts = [adapter, family[1][0]]
    return MergeSpace.of(family[0], experts, method=Method.TASK_ARITHMETIC, dtype="float32")


def test_an_adapter_is_merged_in_float32(family: Family, adapter: Path) -> None:
    """W + alpha / r B A (Hu et al. 2022, eq. 3), and nothing else moves."""
    state = torch.random.get_rng_state()
    space = space_of(family, adapter)
    assert torch.equal(torch.random.get_rng_state(), state)
    base = load_file(family[0] / "model.safetensors")
    lora = load_file(adapter / "adapter_model.safetensors")
    a, b = (lora[f"base_model.model.{MODULE}.lora_{x}.weight"] for x in "AB")
    merged = dict(space.experts[0].tensors(space.base.entries))
    wanted = base[f"{MODULE}.weight"].float() + 3 * b @ a
    torch.testing.assert_close(merged[f"{MODULE}.weight"], wanted)
    still = [name for name in base if "q_proj" not in name]
    assert all(torch.equal(merged[name], base[name].float()) for name in still)


def test_it_is_a_full_expert_that_remembers_where_it_came_from(
    family: Family, adapter: Path
) -> None:
    space = space_of(family, adapter)
    assert space.experts[0].adapter
    assert space.experts[0].path == adapter
    assert space.experts[0].name == "mine"
    recipe = space.expert_recipe(0)
    merged = recipe.express()
    for name, tensor in space.experts[0].tensors(space.base.entries):
        torch.testing.assert_close(merged[name], tensor, rtol=0, atol=1e-6)
    assert digest(MergeRecipe.unpack(recipe.pack())) == digest(recipe)


def test_it_is_merged_once(family: Family, adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evolve.genomes import lora

    before = space_of(family, adapter)

    def never(*_: object) -> None:
        raise AssertionError("merged again")

    monkeypatch.setattr(lora, "_merge", never)
    assert space_of(family, adapter).experts == before.experts
    leftovers = [p for p in before.experts[0].weights.parent.iterdir() if p.suffix == ".part"]
    assert leftovers == []


def test_what_a_killed_merge_left_is_no_obstacle(
    family: Family, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path))
    weights = Source.of(adapter, Source.of(family[0])).weights
    left = weights.with_suffix(".part")
    left.mkdir(parents=True)
    (left / "half.safetensors").write_bytes(b"half")
    assert space_of(family, adapter).experts[0].weights == weights
    assert not left.exists()
    assert not (weights / "half.safetensors").exists()


def test_a_cache_that_cannot_be_written_or_fills_up(
    family: Family, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evolve.genomes import lora

    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match=r"file cannot be used .*set EVOLVE_CACHE"):
        space_of(family, adapter)
    base = Source.of(family[0])
    with pytest.raises(CheckpointError, match=r"mine cannot be merged into .*set EVOLVE_CACHE"):
        lora.merge_adapter(Source.of(adapter, base), base)
    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path / "cache"))
    for error in (OSError(28, "No space left"), SafetensorError("IoError: StorageFull")):

        def full(adapter: Path, base: Path, to: Path, error: Exception = error) -> None:
            to.mkdir()
            raise error

        monkeypatch.setattr(lora, "_merge", full)
        with pytest.raises(CheckpointError, match=r"(No space|StorageFull).*free some disk"):
            space_of(family, adapter)
        assert {path.suffix for path in (tmp_path / "cache" / "lora").iterdir()} <= {".lock"}


def test_the_disk_is_checked_before_an_adapter_is_merged(
    family: Family, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evolve.genomes import lora, preflight

    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path))
    size = sum(entry.size for entry in Source.of(family[0]).entries.values())
    needed = size * 4  # the merged adapter; with our arithmetic also base, two deltas and ranks
    merge = lora._merge

    def never(*_: object) -> None:
        raise AssertionError("merged")

    monkeypatch.setattr(lora, "_merge", never)
    for free, method in ((needed - 1, Method.NUSLERP), (needed + 14 * size - 1, Method.TIES)):
        monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _, free=free: Disk(free))
        with pytest.raises(CheckpointError, match=r"1 adapters to be merged\) needs up to"):
            MergeSpace.of(family[0], [adapter, family[1][0]], method=method)
    monkeypatch.setattr(lora, "_merge", merge)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: Disk(needed + 14 * size))
    space = MergeSpace.of(family[0], [adapter, family[1][0]], method=Method.TIES)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: Disk(14 * size))
    assert space_of(family, adapter).experts == space.experts  # merged, and counted no more


def test_an_adapter_of_another_base_is_refused(
    family: Family, adapter: Path, tmp_path: Path
) -> None:
    for file in adapter.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    file = tmp_path / "adapter_model.safetensors"
    save_file({name: torch.ones(3, 3) for name in load_file(file)}, file)
    with pytest.raises(CheckpointError, match="does not fit the base"):
        space_of(family, tmp_path)
    config = tmp_path / "adapter_config.json"
    config.write_text(json.dumps({"peft_type": "LORA"})[:-3])
    with pytest.raises(CheckpointError, match=r"adapter_config\.json cannot be read"):
        space_of(family, tmp_path)
