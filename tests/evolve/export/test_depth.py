import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from evolve.errors import ExportError
from evolve.export.compressed import CompressedExporter
from evolve.export.depth import check_shapes, cut_config, kept_blocks
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import ProfileSpace
from tests.evolve.export.profiles import TOKENS, agree, gpt2, logits, mixed, record_of, write_model

WINDOW: dict[str, Any] = {"sliding_window": 3, "head_dim": 16, "query_pre_attn_scalar": 16}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": True},
    "qwen3": {
        "head_dim": 16,
        "use_sliding_window": True,
        "sliding_window": 3,
        "max_window_layers": 2,
    },
    "gemma2": WINDOW,
    "gemma3_text": {**WINDOW, "sliding_window_pattern": 2},
    "phi3": {"pad_token_id": 0},
    "gpt_neox": {},
    "smollm3": {"pad_token_id": 0, "no_rope_layer_interval": 2},
}


def exported(profile: CompressionProfile, to: Path) -> dict[str, Any]:
    CompressedExporter().export(record_of(profile), to, {})
    content: dict[str, Any] = json.loads((to / "config.json").read_text())
    return content


@pytest.mark.parametrize("kind", FAMILIES)
def test_blocks_are_deleted_and_parts_zeroed(kind: str, tmp_path: Path) -> None:
    space = ProfileSpace.of(write_model(tmp_path / "m", kind, **FAMILIES[kind]), depth=True)
    profile = mixed(space, attention=(0, 2), mlp=(2, 3))
    config = exported(profile, tmp_path / "knee")
    assert config["num_hidden_layers"] == 3
    agree(profile, tmp_path / "knee")


def test_gpt2_loses_blocks_biases_and_n_layer(tmp_path: Path) -> None:
    space = ProfileSpace.of(gpt2(tmp_path / "m"), depth=True)
    profile = mixed(space, attention=(0, 2), mlp=(2, 3))
    assert exported(profile, tmp_path / "knee")["n_layer"] == 3
    agree(profile, tmp_path / "knee")
    weights = AutoModelForCausalLM.from_pretrained(tmp_path / "knee").state_dict()
    for name in ("h.0.attn.c_proj", "h.2.mlp.c_proj"):  # block 2 was 3
        assert not weights[f"transformer.{name}.weight"].any()
        assert not weights[f"transformer.{name}.bias"].any()  # else the part still adds it
    assert weights["transformer.h.1.attn.c_proj.bias"].any()


def test_a_checkpoint_without_prefix_is_written_with_it(tmp_path: Path) -> None:
    folder = gpt2(tmp_path / "m")
    AutoModelForCausalLM.from_pretrained(folder).transformer.save_pretrained(folder)
    space = ProfileSpace.of(folder, depth=True)
    assert space.anatomy.prefix == "transformer."
    profile = mixed(space, attention=(1,), mlp=(1, 2))
    exported(profile, tmp_path / "knee")
    agree(profile, tmp_path / "knee")


def test_each_block_keeps_its_kind(tmp_path: Path) -> None:
    # Of full, sliding, full, sliding the third goes: no rule by number gives what is left.
    folder = write_model(tmp_path / "m", "gemma2", **WINDOW)
    whole = AutoConfig.from_pretrained(folder).layer_types
    assert len(set(whole)) == 2
    cut = cut_config(folder, (0, 1, 3))
    assert cut["layer_types"] == [whole[0], whole[1], whole[3]]


def test_lists_that_the_file_leaves_out_are_written(tmp_path: Path) -> None:
    # Older checkpoints have no layer_types: transformers derives it from the blocks' numbers.
    folder = write_model(tmp_path / "m", "gemma2", **WINDOW)
    whole = json.loads((folder / "config.json").read_text())
    kinds = whole.pop("layer_types")
    (folder / "config.json").write_text(json.dumps(whole))
    assert cut_config(folder, (0, 1, 3))["layer_types"] == [kinds[0], kinds[1], kinds[3]]
    profile = mixed(ProfileSpace.of(folder, depth=True), attention=(2,), mlp=(2,))
    exported(profile, tmp_path / "knee")
    agree(profile, tmp_path / "knee")


def test_numbers_of_leading_blocks_follow(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", "qwen3", **FAMILIES["qwen3"])
    assert cut_config(folder, (1, 2, 3))["max_window_layers"] == 1
    assert cut_config(folder, (0, 1, 3))["max_window_layers"] == 2


def test_lists_that_are_only_as_long_stay(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", "llama", eos_token_id=[1, 2, 3, 4])
    cut = cut_config(folder, (0, 3))
    assert cut["eos_token_id"] == [1, 2, 3, 4]
    assert cut["architectures"] == ["LlamaForCausalLM"]


def test_nothing_removed_leaves_the_config(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", "llama")
    assert cut_config(folder, (0, 1, 2, 3)) == json.loads((folder / "config.json").read_text())


def test_trap_a_skip_in_the_config_is_ignored_so_parts_are_zeroed(tmp_path: Path) -> None:
    # transformers 5.23; if this fails, single parts could be left out of the file.
    folder = write_model(tmp_path / "m", "llama")
    before = logits(AutoModelForCausalLM.from_pretrained(folder).eval(), TOKENS)
    config = json.loads((folder / "config.json").read_text())
    config["per_layer_config"] = {"1": {"skip": ["attention"]}}
    (folder / "config.json").write_text(json.dumps(config))
    after = logits(AutoModelForCausalLM.from_pretrained(folder).eval(), TOKENS)
    assert torch.equal(before, after)


def test_blocks_that_depend_on_their_numbers_are_refused(tmp_path: Path) -> None:
    folder = write_model(
        tmp_path / "m",
        "gpt2",
        n_embd=32,
        n_layer=4,
        n_head=2,
        n_positions=32,
        scale_attn_by_inverse_layer_idx=True,
    )
    profile = mixed(ProfileSpace.of(folder, depth=True), attention=(1,), mlp=(1,))
    with pytest.raises(ExportError, match="scale_attn_by_inverse_layer_idx"):
        exported(profile, tmp_path / "knee")
    assert not (tmp_path / "knee").exists()


def test_a_config_that_does_not_fit_the_tensors_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", "llama")
    tensors = load_file(folder / "model.safetensors")
    check_shapes(folder, tensors, "model.layers")
    name = "model.layers.1.mlp.up_proj.weight"
    with pytest.raises(ExportError, match=rf"{name} is \(64, 32\), the checkpoint has \(32, 32\)"):
        check_shapes(folder, {**tensors, name: tensors[name][:32]}, "model.layers")
    del tensors[name]
    with pytest.raises(ExportError, match="has None"):
        check_shapes(folder, tensors, "model.layers")


def test_a_profile_without_blocks_is_refused(tmp_path: Path) -> None:
    space = ProfileSpace.of(write_model(tmp_path / "m", "llama"), depth=True)
    with pytest.raises(ExportError, match="removes every block"):
        kept_blocks(mixed(space, range(4), range(4)))


def test_entries_by_number_follow_and_void_rules_go(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", "llama")
    config = json.loads((folder / "config.json").read_text())
    config["per_layer_config"] = {"1": {"intermediate_size": 48}, "3": {"intermediate_size": 32}}
    (folder / "config.json").write_text(json.dumps(config))
    cut = cut_config(folder, (0, 2, 3))
    assert {int(i) for i in cut["per_layer_config"]} == {2}
    assert cut["per_layer_config"]["2"]["intermediate_size"] == 32
    ruled = write_model(tmp_path / "r", "gemma3_text", **FAMILIES["gemma3_text"])
    names = ("sliding_window_pattern", "_sliding_window_pattern")
    assert any(name in json.loads((ruled / "config.json").read_text()) for name in names)
    assert not any(name in cut_config(ruled, (0, 1, 3)) for name in names)
