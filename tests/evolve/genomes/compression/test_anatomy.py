from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from evolve.errors import CheckpointError
from evolve.genomes.compression.anatomy import Anatomy, Names, Part, meta_model
from tests.evolve.genomes.compression.families import (
    FAMILIES,
    rewrite,
    stored,
    write,
    write_type,
)

LLAMA = Names("model.layers", "self_attn", "mlp", "o_proj", "down_proj")


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("model") / "it", request.param)


def held(folder: Path) -> int:
    return sum(tensor.nbytes for tensor in stored(folder).values())


def counted(anatomy: Anatomy) -> int:
    others = sum(anatomy.other_bytes(i) for i in range(len(anatomy.blocks)))
    weights = sum(linear.size for linear in anatomy.linears) * anatomy.itemsize
    return weights + others + anatomy.other_bytes()


def test_linears_are_the_live_modules_of_the_blocks(model: Path) -> None:
    anatomy = Anatomy.of(model)
    assert len(anatomy.blocks) == 2
    live = AutoModelForCausalLM.from_pretrained(model)
    path = anatomy.blocks[0].name.rpartition(".")[0]
    found = {
        name: module
        for name, module in live.named_modules()
        if isinstance(module, (torch.nn.Linear, Conv1D)) and name.startswith(f"{path}.")
    }
    assert set(anatomy.by_name) == set(found)
    for name, linear in anatomy.by_name.items():
        shape = (
            (linear.columns, linear.rows) if linear.transposed else (linear.rows, linear.columns)
        )
        assert found[name].weight.shape == shape
        assert linear.bias == (found[name].bias is not None)
        assert linear.transposed == isinstance(found[name], Conv1D)
        plain = type(found[name]) is torch.nn.Linear
        assert linear.overridden == (not plain and not linear.transposed)


def test_every_stored_tensor_has_its_live_name(model: Path) -> None:
    anatomy = Anatomy.of(model)
    live = AutoModelForCausalLM.from_pretrained(model).state_dict()
    for name, tensor in stored(model).items():
        assert torch.equal(live[anatomy.live(name)], tensor)
        assert anatomy.stored(anatomy.live(name)) == name
    renamed = [anatomy.live(name) for name in stored(model)]
    assert len(renamed) == len(set(renamed))


def test_linear_weights_and_the_rest_are_all_bytes(model: Path) -> None:
    assert counted(Anatomy.of(model)) == held(model)


@pytest.mark.parametrize("parts", [(Part.ATTENTION,), (Part.MLP,), tuple(Part)])
def test_a_zeroed_output_projection_is_a_part_that_returns_zeros(
    model: Path, parts: tuple[Part, ...]
) -> None:
    block = Anatomy.of(model).blocks[1]
    ids = torch.arange(3, 15)[None]
    dense, zeroed, skipped = (
        AutoModelForCausalLM.from_pretrained(model).eval().requires_grad_(False) for _ in range(3)
    )

    def nothing(module: object, given: object, out: object) -> object:
        first = out[0] if isinstance(out, tuple) else out
        assert isinstance(first, torch.Tensor)
        zeros = torch.zeros_like(first)
        return (zeros, *out[1:]) if isinstance(out, tuple) else zeros

    for part in parts:
        output = block.part(part)[-1]
        module = zeroed.get_submodule(output.name)
        module.weight.zero_()
        assert output.bias == (module.bias is not None)
        if output.bias:
            module.bias.zero_()
        home = output.name.removeprefix(f"{block.name}.").partition(".")[0]
        skipped.get_submodule(f"{block.name}.{home}").register_forward_hook(nothing)
    logits = zeroed(ids, use_cache=False).logits
    assert torch.equal(logits, skipped(ids, use_cache=False).logits)
    assert not torch.allclose(logits, dense(ids, use_cache=False).logits, atol=1e-2)
    if len(parts) == 2:  # the block can be deleted

        def through(
            module: object, given: tuple[object, ...], named: object, out: object
        ) -> object:
            hidden = given[0]
            return (hidden, *out[1:]) if isinstance(out, tuple) else hidden

        whole = dense.get_submodule(block.name)
        whole.register_forward_hook(through, with_kwargs=True)
        assert torch.equal(logits, dense(ids, use_cache=False).logits)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
@pytest.mark.parametrize("tied", [True, False])
def test_tied_embeddings_count_once(tmp_path: Path, family: str, tied: bool) -> None:
    folder = write(tmp_path / "it", family, tie_word_embeddings=tied, dtype=torch.bfloat16)
    anatomy = Anatomy.of(folder)
    assert counted(anatomy) == held(folder)
    assert (anatomy.itemsize, anatomy.dtype) == (2, "bfloat16")
    heads = [name for name in stored(folder) if "lm_head" in anatomy.live(name)]
    assert len(heads) == (not tied)
    assert {anatomy.stored(anatomy.live(name)) for name in stored(folder)} == set(stored(folder))


def test_gpt2_without_its_prefix(tmp_path: Path) -> None:
    folder = write(tmp_path / "it", "gpt2")
    whole = Anatomy.of(folder)
    bare = {name.removeprefix("transformer."): t for name, t in stored(folder).items()}
    rewrite(folder, bare)
    anatomy = Anatomy.of(folder)
    assert anatomy.prefix == "transformer."
    assert anatomy.blocks == whole.blocks
    assert counted(anatomy) == held(folder)
    assert anatomy.other_bytes(1) == whole.other_bytes(1) > 0
    live = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    for name, tensor in bare.items():
        assert torch.equal(live[anatomy.live(name)], tensor)
        assert anatomy.stored(anatomy.live(name)) == name


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox"])
def test_masks_and_tables_of_older_files_count(tmp_path: Path, family: str) -> None:
    folder = write(tmp_path / "it", family, dtype=torch.float16)
    before = Anatomy.of(folder)
    block = before.blocks[0].attention[0].name.rpartition(".")[0]
    extra = {
        f"{block}.bias": torch.ones(1, 1, 8, 8, dtype=torch.bool),
        f"{block}.masked_bias": torch.tensor(-1e9),
        f"{block}.rotary_emb.inv_freq": torch.rand(4),
        f"{block}.table": torch.arange(5),
        "seen": torch.zeros(3, dtype=torch.uint8),
    }
    rewrite(folder, {**stored(folder), **extra})
    after = Anatomy.of(folder)
    assert counted(after) == held(folder)
    assert after.other_bytes(0) - before.other_bytes(0) == 64 + 4 + 16 + 40
    assert after.other_bytes() - before.other_bytes() == 3
    assert after.other_bytes(1) == before.other_bytes(1)


def test_eleven_blocks_keep_their_own_bytes(tmp_path: Path) -> None:
    """Block 1 is not the beginning of block 10."""
    anatomy = Anatomy.of(write(tmp_path / "it", "llama", num_hidden_layers=11))
    assert {anatomy.other_bytes(i) for i in range(11)} == {2 * 32 * 4}
    assert [block.name for block in anatomy.blocks][10] == "model.layers.10"


_LLAMA = FAMILIES["llama"][1]
_MOE = {**_LLAMA, "num_local_experts": 4}
_SHARED = {"num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16}
_SSM = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8}
_PER_LAYER = {"head_dim": 8, "global_head_dim": 8, "hidden_size_per_layer_input": 0}


@pytest.mark.parametrize(
    ("kind", "given", "text"),
    [
        ("mixtral", _MOE, "model.layers.0 has no mlp with one output projection"),
        ("mamba", {"hidden_size": 32, "num_hidden_layers": 2}, "backbone.layers.0 has no atten"),
        ("opt", {**_LLAMA, "ffn_dim": 48, "word_embed_proj_dim": 32}, "has no mlp"),
        ("qwen2_moe", {**_LLAMA, **_SHARED}, "experts.gate_up_proj acts beside"),
        ("falcon_h1", {**_LLAMA, **_SSM}, r"0\.mamba.* acts beside"),
        ("gemma4_text", {**_LLAMA, **_PER_LAYER}, "layer_scalar acts beside"),
    ],
)
def test_other_blocks_get_an_error_that_says_what_to_pass(
    tmp_path: Path, kind: str, given: dict[str, object], text: str
) -> None:
    folder = write_type(tmp_path / "it", kind, **{"vocab_size": 64, **given})
    with pytest.raises(CheckpointError, match=text) as caught:
        Anatomy.of(folder)
    assert "names=Names(blocks=..., attention=..., mlp=" in str(caught.value)
    assert ".layers.0" in str(caught.value)


def test_a_vision_model_is_not_taken_for_its_eyes(tmp_path: Path) -> None:
    text = {**FAMILIES["gemma3"][1]}
    eyes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
    eyes |= {"num_attention_heads": 4, "image_size": 28, "patch_size": 14}
    folder = write_type(tmp_path / "it", "gemma3", text_config=text, vision_config=eyes)
    with pytest.raises(CheckpointError, match="several models"):
        Anatomy.of(folder)


def test_names_find_blocks_that_are_called_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "it", "llama")
    usual = Anatomy.of(folder)
    assert Anatomy.of(folder, LLAMA).blocks == usual.blocks

    def odd(path: Path) -> torch.nn.Module:
        model = meta_model(path)
        for block in model.get_submodule("model.layers").children():
            for was, now in (("self_attn", "mixer"), ("mlp", "channel")):
                block.add_module(now, getattr(block, was))
                delattr(block, was)
        return model

    rewrite(
        folder,
        {
            name.replace("self_attn", "mixer").replace("mlp", "channel"): tensor
            for name, tensor in stored(folder).items()
        },
    )
    monkeypatch.setattr("evolve.genomes.compression.anatomy.meta_model", odd)
    with pytest.raises(CheckpointError, match=r"model\.layers\.0\.mixer"):
        Anatomy.of(folder)
    names = Names("model.layers", "mixer", "channel", "o_proj", "down_proj")
    anatomy = Anatomy.of(folder, names)
    assert [each.name for each in anatomy.blocks[0].mlp] == [
        f"model.layers.0.channel.{own}" for own in ("gate_proj", "up_proj", "down_proj")
    ]
    assert counted(anatomy) == held(folder)


def test_an_output_may_lie_deeper(tmp_path: Path) -> None:
    given = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "vocab_size": 64}
    kinds = [[["global", "local"], 1]]
    folder = write_type(tmp_path / "it", "gpt_neo", **given, attention_types=kinds)
    names = Names("transformer.h", "attn", "mlp", "attention.out_proj", "c_proj")
    assert Anatomy.of(folder, names).blocks == Anatomy.of(folder).blocks


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (Names("model.blocks", "self_attn", "mlp", "o_proj", "down_proj"), "no list of blocks"),
        (Names("model.layers", "attn", "mlp", "o_proj", "down_proj"), "no attention"),
        (Names("model.layers", "self_attn", "mlp", "o_proj", "wo"), "no mlp"),
        (Names("model.norm", "self_attn", "mlp", "o_proj", "down_proj"), "no list of blocks"),
    ],
)
def test_wrong_names_are_refused(tmp_path: Path, names: Names, text: str) -> None:
    with pytest.raises(CheckpointError, match=text):
        Anatomy.of(write(tmp_path / "it", "llama"), names)


def test_files_that_lack_the_models_tensors_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "it", "llama")
    tensors = stored(folder)
    name = "model.layers.1.mlp.up_proj.weight"
    rewrite(folder, {each: t for each, t in tensors.items() if each != name})
    with pytest.raises(CheckpointError, match=f"lacks 1 of the model's .* {name}"):
        Anatomy.of(folder)
    rewrite(folder, {**tensors, name: tensors[name].T.contiguous()})
    with pytest.raises(CheckpointError, match=r"\(32, 48\) in .* makes it \(48, 32\)"):
        Anatomy.of(folder)
    rewrite(folder, {**tensors, name: tensors[name].half()})
    with pytest.raises(CheckpointError, match="linear layers as F16, F32"):
        Anatomy.of(folder)
    rewrite(folder, {n: t.char() if "proj" in n else t for n, t in tensors.items()})
    with pytest.raises(CheckpointError, match="linear layers as I8"):
        Anatomy.of(folder)


@pytest.mark.parametrize("kind", ["t5", "no such model"])
def test_what_is_no_causal_language_model_is_refused(tmp_path: Path, kind: str) -> None:
    folder = write(tmp_path / "it", "llama")
    (folder / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="no causal language model"):
        Anatomy.of(folder)
