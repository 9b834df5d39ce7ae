import json
import re
from pathlib import Path

import gguf
import pytest

from evolve.errors import ExportError
from evolve.experiment import Exporter
from evolve.export import card
from evolve.export.recipes import (
    HEADER,
    K_QUANTS,
    SMALL_BLOCKS,
    RecipeExporter,
    fitting_types,
    gguf_bytes,
    gptqmodel_dynamic,
    tensor_types,
)
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ProfileSpace, ZeroGrid
from tests.evolve.export.profiles import gpt2, mixed, record_of, write_levels, write_model

WIDE = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2}


def space_of(folder: Path, model: Path, grid: BitGrid | ZeroGrid) -> ProfileSpace:
    return ProfileSpace.of(
        model, write_levels(folder / "levels", model, grid), grid=grid, depth=True
    )


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> ProfileSpace:
    """Sides that blocks of 256 divide."""
    folder = tmp_path_factory.mktemp("wide")
    model = write_model(folder / "model", "llama", **WIDE, head_dim=128)
    return space_of(folder, model, BitGrid((2, 3, 4, 5, 6, 8), group=64, dense=True))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ProfileSpace:
    """Sides that blocks of 32 divide, 256 not."""
    folder = tmp_path_factory.mktemp("small")
    return space_of(
        folder,
        write_model(folder / "model", "llama", num_key_value_heads=2),
        BitGrid((4, 8), group=16, dense=True),
    )


def test_one_anchored_regex_a_layer_under_gguf_names(wide: ProfileSpace) -> None:
    text = tensor_types(mixed(wide))
    assert "#" not in text
    entries = dict(entry.rsplit("=", 1) for entry in text.split())
    assert entries[r"^blk\.0\.attn_q\.weight$"] == "q2_k"
    assert entries[r"^blk\.1\.ffn_down\.weight$"] in {"q2_k", "q3_k", "f32"}
    names = [
        f"blk.{i}.{own}.weight"
        for i in range(12)
        for own in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    ]
    for name in names:  # block 1 must not catch block 11
        met = [pattern for pattern in entries if re.search(pattern, name)]
        assert len(met) == (1 if name.startswith(("blk.0.", "blk.1.")) else 0)


def test_every_bit_width_has_its_type_and_size(wide: ProfileSpace) -> None:
    for bits in (2, 3, 4, 5, 6, 8):
        profile = CompressionProfile.uniform(wide, bits=bits)
        kind = gguf.GGMLQuantizationType[K_QUANTS[bits]]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        weights = sum(linear.size for linear in wide.anatomy.linears)
        assert gguf_bytes(profile) == weights * size / block
        assert set(re.findall(r"=(\w+)", tensor_types(profile))) == {kind.name.lower()}


def test_sizes_count_scales(wide: ProfileSpace) -> None:
    # Q2_K is 2.625 bits a weight, not the 2.5625 that is told of it elsewhere.
    weights = sum(linear.size for linear in wide.anatomy.linears)
    assert 8 * gguf_bytes(CompressionProfile.uniform(wide, bits=2)) / weights == 2.625


def test_rows_that_blocks_do_not_divide_are_refused(small: ProfileSpace) -> None:
    profile = CompressionProfile.uniform(small, bits=4)
    with pytest.raises(ExportError, match="q_proj has 32 inputs, which Q4_K's blocks of 256"):
        tensor_types(profile)
    assert "=q4_0\n" in tensor_types(profile, SMALL_BLOCKS)


def test_types_fit_the_layers(wide: ProfileSpace, small: ProfileSpace) -> None:
    assert fitting_types(mixed(wide)) == K_QUANTS
    assert fitting_types(mixed(small)) == SMALL_BLOCKS


def test_bits_without_a_type_are_refused(wide: ProfileSpace) -> None:
    with pytest.raises(ExportError, match=r"b3g64, .* no GGUF type.* 4, 5, 8 bits"):
        tensor_types(CompressionProfile.uniform(wide, bits=3), SMALL_BLOCKS)


@pytest.mark.parametrize("kind", ["gpt_neox", "gemma3_text", "qwen3", "phi3", "mistral"])
def test_families_have_gguf_names(kind: str, tmp_path: Path) -> None:
    grid = BitGrid((4, 8), group=16)
    model = write_model(tmp_path / "model", kind, pad_token_id=0)
    space = space_of(tmp_path, model, grid)
    names = re.findall(r"\^(\S+)\$", tensor_types(mixed(space), SMALL_BLOCKS))
    assert len(set(names)) == len(space.anatomy.linears)


def test_gpt2_names(tmp_path: Path) -> None:
    space = space_of(tmp_path, gpt2(tmp_path / "model"), BitGrid((4, 8), group=16))
    assert r"^blk\.3\.attn_qkv\.weight$=" in tensor_types(mixed(space), SMALL_BLOCKS)


def test_dynamic_overrides_or_leaves_alone(small: ProfileSpace) -> None:
    dynamic = gptqmodel_dynamic(mixed(small))
    assert len(dynamic) == len(small.anatomy.linears)
    key = r"+:^model\.layers\.0\.self_attn\.q_proj$"
    assert dynamic[key] == {"bits": 4, "group_size": 16, "sym": True, "desc_act": False}
    dense = [key for key, value in dynamic.items() if not value]
    assert dense
    assert all(key.startswith("-:^") for key in dense)
    assert re.match(key.removeprefix("+:"), "model.layers.0.self_attn.q_proj")


def test_dynamic_refuses_bits_and_shapes(wide: ProfileSpace, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is at 5 bits, the GPTQ format has 2, 3, 4, 8"):
        gptqmodel_dynamic(CompressionProfile.uniform(wide, bits=5))
    model = write_model(tmp_path / "model", "llama", num_key_value_heads=2, intermediate_size=48)
    space = space_of(tmp_path, model, BitGrid((4,), group=16))
    with pytest.raises(ExportError, match="gate_proj has 48 outputs"):
        gptqmodel_dynamic(mixed(space))


def test_zeros_and_removed_parts_are_refused(small: ProfileSpace, tmp_path: Path) -> None:
    for recipe in (tensor_types, gptqmodel_dynamic):
        with pytest.raises(ExportError, match="removes parts"):
            recipe(mixed(small, attention=(1,)))
    model = write_model(tmp_path / "model", "llama")
    sparse = space_of(tmp_path, model, ZeroGrid(reach=1))
    for recipe in (tensor_types, gptqmodel_dynamic):
        with pytest.raises(ExportError, match="a recipe holds bits, no zeros"):
            recipe(mixed(sparse))


def test_exporter_heads_everything_with_what_it_is(small: ProfileSpace, tmp_path: Path) -> None:
    exporter: Exporter[CompressionProfile] = RecipeExporter()
    exporter.export(record_of(mixed(small)), tmp_path / "to", {"Lineage": "birth 7"})
    text = (tmp_path / "to" / "README.md").read_text()
    assert text.startswith(f"# {HEADER}\n")
    assert "## Lineage" in text
    first, second = card.notes(tmp_path / "to")
    assert first.startswith(HEADER)
    assert second.startswith("No tensor_types.txt for llama.cpp: model.layers.0.self_attn.q_proj")
    dynamic = json.loads((tmp_path / "to" / "gptqmodel_dynamic.json").read_text())
    assert dynamic == gptqmodel_dynamic(mixed(small))
    assert {file.name for file in (tmp_path / "to").iterdir()} == {
        "README.md",
        "gptqmodel_dynamic.json",
        "profile.json",
    }


def test_exporter_writes_both_where_both_can(small: ProfileSpace, tmp_path: Path) -> None:
    exporter = RecipeExporter(SMALL_BLOCKS)
    exporter.export(record_of(mixed(small)), tmp_path / "to", {})
    types = (tmp_path / "to" / "tensor_types.txt").read_text()
    assert types == tensor_types(mixed(small), SMALL_BLOCKS)
    assert len(card.notes(tmp_path / "to")) == 1
    assert (
        f"{gguf_bytes(mixed(small), SMALL_BLOCKS):,} bytes"
        in (tmp_path / "to" / "README.md").read_text()
    )


def test_exporter_for_one_tool(small: ProfileSpace, tmp_path: Path) -> None:
    for exporter, name in (
        (RecipeExporter(SMALL_BLOCKS, gptqmodel=False), "tensor_types.txt"),
        (RecipeExporter(llama_cpp=False), "gptqmodel_dynamic.json"),
    ):
        exporter.export(record_of(mixed(small)), tmp_path / name, {})
        found = {file.name for file in (tmp_path / name).iterdir()}
        assert found == {name, "profile.json", "README.md"}
        assert len(card.notes(tmp_path / name)) == 1
    with pytest.raises(ExportError, match="blocks of 256 do not divide"):
        RecipeExporter(gptqmodel=False).export(record_of(mixed(small)), tmp_path / "to", {})
    with pytest.raises(ExportError, match="no tool to write for"):
        RecipeExporter(llama_cpp=False, gptqmodel=False)


def test_exporter_refuses_what_no_tool_holds(small: ProfileSpace, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"llama.cpp: .* GPTQModel: "):
        RecipeExporter().export(record_of(mixed(small, mlp=(0,))), tmp_path / "to", {})
    assert not (tmp_path / "to").exists()
