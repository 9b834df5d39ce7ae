import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, CompressedTensorsConfig

from evolve.errors import ExportError
from evolve.experiment import Exporter
from evolve.export import card, exporter_for
from evolve.export.compressed import CompressedExporter, refuse_others
from evolve.export.profile_card import CONV1D, ZEROS, notes
from evolve.export.profile_json import read_profile
from evolve.genome import digest
from evolve.genomes.compression.budget import file_bytes
from evolve.genomes.compression.database import Database
from evolve.genomes.compression.level import Dense
from evolve.genomes.compression.packing import pack, unpack
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ProfileSpace, ZeroGrid
from evolve.genomes.vector import Box, Vector
from experiments import material
from tests.evolve.export.profiles import (
    TOKENS,
    agree,
    as_float32,
    gpt2,
    logits,
    mixed,
    record_of,
    reloaded_logits,
    scored_logits,
    write_levels,
    write_model,
)
from tests.evolve.genomes.compression import families

GRID = BitGrid((2, 3, 4, 5, 6), group=16, dense=True)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> ProfileSpace:
    """A tiny random Llama in float32 with levels of 2 to 6 bits and dense."""
    folder = tmp_path_factory.mktemp("llama")
    model = write_model(folder / "model", "llama")
    levels = write_levels(folder / "levels", model, GRID, tied=False)
    return ProfileSpace.of(model, levels, grid=GRID, depth=True, tied=False)


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> ProfileSpace:
    folder = tmp_path_factory.mktemp("sparse")
    model = write_model(folder / "model", "llama", tie_word_embeddings=True)
    levels = write_levels(folder / "levels", model, ZeroGrid(reach=2))
    return ProfileSpace.of(model, levels, grid=ZeroGrid(reach=2), depth=True)


def export(profile: CompressionProfile, to: Path) -> Path:
    CompressedExporter().export(record_of(profile), to, {"Objectives": "none"})
    return to


def config_of(folder: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((folder / "config.json").read_text())
    return content


def test_is_the_exporter_of_profiles(llama: ProfileSpace) -> None:
    exporter: Exporter[CompressionProfile] = CompressedExporter()
    assert exporter_for(mixed(llama)) == exporter


def test_mixed_bits_reload_as_scored(llama: ProfileSpace, tmp_path: Path) -> None:
    profile = mixed(llama)
    names = {level.name for _, level in profile.layers()}
    assert names == {"b2g16", "b3g16", "b4g16", "b5g16", "b6g16", "dense"}
    agree(profile, export(profile, tmp_path / "knee"))


def test_codes_and_scales_are_the_databases(llama: ProfileSpace, tmp_path: Path) -> None:
    assert llama.database is not None
    database = Database.open(llama.database)
    profile = mixed(llama)
    written = load_file(export(profile, tmp_path / "knee") / "model.safetensors")
    for linear, level in profile.layers():
        if isinstance(level, Dense):
            assert f"{linear.name}.weight" in written
            continue
        stored = database.packed(linear.name, level)
        assert torch.equal(written[f"{linear.name}.weight_packed"], stored["codes"])
        assert torch.equal(written[f"{linear.name}.weight_scale"], stored["scales"])
        shape = written[f"{linear.name}.weight_shape"].tolist()
        assert shape == [linear.rows, linear.columns]
        assert f"{linear.name}.weight" not in written


def test_groups_are_symmetric_exact_padded_and_the_rest_is_ignored(
    llama: ProfileSpace, tmp_path: Path
) -> None:
    scheme = config_of(export(mixed(llama), tmp_path / "knee"))["quantization_config"]
    assert isinstance(scheme, dict)
    groups = scheme["config_groups"]
    assert list(groups) == sorted(groups) == [f"group_{i:03d}" for i in range(len(groups))]
    assert len(groups) > 10  # where names without zeros would be sorted otherwise
    targets = [target for group in groups.values() for target in group["targets"]]
    assert len(targets) == len(set(targets))
    assert not any(target.startswith("re:") for target in targets)
    assert all(group["weights"]["symmetric"] for group in groups.values())
    dense = {linear.name for linear, level in mixed(llama).layers() if level.name == "dense"}
    assert set(scheme["ignore"]) == {"lm_head", *dense}
    assert scheme["format"] == "pack-quantized"


@pytest.mark.filterwarnings("ignore:You passed `quantization_config`")
def test_trap_dequantize_on_loading_mixes_up_the_schemes(
    llama: ProfileSpace, tmp_path: Path
) -> None:
    # Why the default path is the one we promise; should this fail, transformers has mended it.
    profile = mixed(llama)
    folder = export(profile, tmp_path / "knee")
    wrong = CompressedTensorsConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=wrong).eval()
    assert float((logits(model, TOKENS) - scored_logits(profile)).abs().max()) > 0.1


def test_trap_asymmetric_does_not_load_and_is_never_written(
    llama: ProfileSpace, tmp_path: Path
) -> None:
    folder = export(mixed(llama), tmp_path / "knee")
    written = load_file(folder / "model.safetensors")
    assert not [name for name in written if "zero_point" in name]
    # What an asymmetric one would be: compressed-tensors 0.20 expects other shapes on loading.
    config: Any = config_of(folder)
    for group in config["quantization_config"]["config_groups"].values():
        group["weights"]["symmetric"] = False
        name, bits = group["targets"][0], group["weights"]["num_bits"]
        zeros = torch.zeros(written[f"{name}.weight_scale"].shape, dtype=torch.int8)
        written[f"{name}.weight_zero_point"] = pack(zeros.T.contiguous(), bits).T.contiguous()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(written, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        AutoModelForCausalLM.from_pretrained(folder)


def test_bits_with_removed_parts_and_blocks(llama: ProfileSpace, tmp_path: Path) -> None:
    profile = mixed(llama, attention=(0, 2), mlp=(2, 3))
    folder = export(profile, tmp_path / "knee")
    agree(profile, folder)
    written = load_file(folder / "model.safetensors")
    name = "model.layers.0.self_attn.o_proj"
    assert not unpack(written[f"{name}.weight_packed"], 2, 32).any()
    assert written[f"{name}.weight_scale"].shape == (32, 2)
    zeroed = written["model.layers.2.mlp.down_proj.weight_packed"]  # 3 before
    assert not unpack(zeroed, 2, 64).any()
    assert config_of(folder)["num_hidden_layers"] == 3
    assert not [name for name in written if "layers.3." in name]


@pytest.mark.parametrize("removed", [(), (2,)])
def test_the_file_has_the_bytes_of_the_cost(
    llama: ProfileSpace, removed: tuple[int, ...], tmp_path: Path
) -> None:
    profile = mixed(llama, attention=(0, *removed), mlp=removed)
    written = load_file(export(profile, tmp_path / "knee") / "model.safetensors")
    found = sum(tensor.numel() * tensor.element_size() for tensor in written.values())
    assert found == file_bytes(llama).of(profile)


def test_zeros_are_dense_and_said_to_take_their_bytes(
    sparse: ProfileSpace, tmp_path: Path
) -> None:
    profile = mixed(sparse)
    folder = export(profile, tmp_path / "knee")
    agree(profile, folder)
    assert "quantization_config" not in config_of(folder)
    assert card.notes(folder) == [ZEROS]
    source = sparse.anatomy.source.path / "model.safetensors"
    assert (folder / "model.safetensors").stat().st_size >= source.stat().st_size - 4096
    written = load_file(folder / "model.safetensors")
    zeros = {linear.name: level.name for linear, level in profile.layers()}
    for name, level in zeros.items():
        assert int((written[f"{name}.weight"] == 0).sum()) == int(level.removeprefix("z"))


def test_zeros_and_depth(sparse: ProfileSpace, tmp_path: Path) -> None:
    profile = mixed(sparse, attention=(1, 3), mlp=(1,))
    folder = export(profile, tmp_path / "knee")
    agree(profile, folder)
    told = card.notes(folder)
    assert told[0] == ZEROS
    assert "numbers: blocks 1." in told[1]
    assert "attention of block 3" in told[2]


def test_stored_in_the_models_own_dtype(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "llama", torch.bfloat16)
    grid = ZeroGrid(reach=1)
    levels = write_levels(tmp_path / "levels", model, grid)
    profile = mixed(ProfileSpace.of(model, levels, grid=grid))
    folder = export(profile, tmp_path / "knee")
    written = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in written.values()} == {torch.bfloat16}
    assert all(torch.equal(written[name], tensor) for name, tensor in profile.express().items())


@pytest.mark.parametrize("family", families.FAMILIES)
def test_every_family_reloads_as_scored(family: str, tmp_path: Path) -> None:
    grid = BitGrid((2, 5), group=16)
    model = families.write(tmp_path / "model", family)
    levels = families.write_database(tmp_path / "levels", model, grid)
    profile = mixed(ProfileSpace.of(model, levels, grid=grid))
    folder = export(profile, tmp_path / "knee")
    agree(profile, folder)
    assert ("quantization_config" in config_of(folder)) == (family not in ("gpt2", "falcon"))


def test_transposed_layers_are_written_dense_with_a_word(tmp_path: Path) -> None:
    grid = BitGrid((2, 4), group=16)
    model = gpt2(tmp_path / "model")
    space = ProfileSpace.of(
        model, write_levels(tmp_path / "levels", model, grid), grid=grid, depth=True
    )
    profile = mixed(space, attention=(1, 2), mlp=(1,))
    folder = export(profile, tmp_path / "knee")
    agree(profile, folder)
    assert CONV1D in card.notes(folder)


@pytest.mark.parametrize("removed", [(), (2, 4)])
def test_stories_reload_as_scored_at_the_size_of_their_cost(
    removed: tuple[int, ...], tmp_path: Path
) -> None:
    base = as_float32(material.base(), tmp_path / "float32")
    grid = BitGrid((2, 3, 4, 5, 6), group=32)
    levels = write_levels(tmp_path / "levels", base, grid)
    space = ProfileSpace.of(base, levels, grid=grid, depth=True)
    profile = mixed(space, attention=removed, mlp=removed[1:])
    folder = export(profile, tmp_path / "knee")
    tokens = torch.randint(3, 32000, (2, 64), generator=torch.Generator().manual_seed(0))
    agree(profile, folder, tokens)
    size = (folder / "model.safetensors").stat().st_size
    assert abs(size / file_bytes(space).of(profile) - 1) < 0.01


def test_bfloat16_reloads_to_the_same_bits(tmp_path: Path) -> None:
    base = material.base()
    grid = BitGrid((2, 3, 4, 5, 6), group=32)
    levels = write_levels(tmp_path / "levels", base, grid)
    space = ProfileSpace.of(base, levels, grid=grid)
    profile = mixed(space)
    folder = export(profile, tmp_path / "knee")
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert logits(model, TOKENS).dtype == torch.bfloat16  # the first call unpacks
    found = dict(model.named_parameters())
    for name, tensor in profile.express().items():
        assert torch.equal(found[name], tensor), name
    size = (folder / "model.safetensors").stat().st_size
    assert abs(size / file_bytes(space).of(profile) - 1) < 0.01


def test_card_and_profile_stand_beside_the_weights(llama: ProfileSpace, tmp_path: Path) -> None:
    profile = mixed(llama, attention=(1,))
    folder = export(profile, tmp_path / "knee")
    assert card.notes(folder) == notes(profile)
    assert digest(read_profile(folder / "profile.json", llama)) == digest(profile)


def test_untied_and_shards(llama: ProfileSpace, tmp_path: Path) -> None:
    profile = mixed(llama)
    exporter = CompressedExporter(max_shard_bytes=8000)
    exporter.export(record_of(profile), tmp_path / "knee", {})
    assert len(list((tmp_path / "knee").glob("*.safetensors"))) > 2
    assert torch.equal(
        reloaded_logits(tmp_path / "knee"), reloaded_logits(export(profile, tmp_path / "one"))
    )


def test_refusals(llama: ProfileSpace, tmp_path: Path) -> None:
    everything = range(llama.n_blocks)
    with pytest.raises(ExportError, match="removes every block"):
        export(mixed(llama, everything, everything), tmp_path / "knee")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ExportError, match="max_shard_bytes"):
        CompressedExporter(max_shard_bytes=0)
    (tmp_path / "there").mkdir()
    with pytest.raises(ExportError, match="exists already"):
        export(mixed(llama), tmp_path / "there")


def test_other_genomes_are_refused() -> None:
    with pytest.raises(ExportError, match="Birth 3 is a Vector"):
        refuse_others(3, Vector(np.zeros(3), Box.of(0, 1, 3)), "CompressedExporter")


def test_a_layer_with_bits_in_a_deleted_block_alone_leaves_a_dense_file(
    llama: ProfileSpace, tmp_path: Path
) -> None:
    profile = CompressionProfile.dense(llama)
    gone = np.array([True, False, True, True])
    cut = CompressionProfile.at(llama, profile.levels, gone, gone)
    assert {level.name for _, level in cut.layers()} == {"dense", "b2g16"}
    folder = export(cut, tmp_path / "knee")
    assert "quantization_config" not in config_of(folder)
    agree(cut, folder)
