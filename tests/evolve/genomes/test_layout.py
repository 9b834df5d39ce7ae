from __future__ import annotations

import pytest

from evolve.errors import CheckpointError
from evolve.genomes.layout import Kind, Layout, by_tensor, kind_of_tensor, layer_of_tensor

LLAMA = [
    "lm_head.weight",
    "model.embed_tokens.weight",
    "model.norm.weight",
    *(
        f"model.layers.{i}.{part}.weight"
        for i in (0, 1, 2, 10)
        for part in ("self_attn.q_proj", "mlp.up_proj", "input_layernorm", "self_attn.q_norm")
    ),
]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model.layers.0.self_attn.q_proj.weight", Kind.ATTENTION),
        ("model.layers.0.self_attn.q_norm.weight", Kind.NORM),
        ("model.layers.0.post_attention_layernorm.weight", Kind.NORM),
        ("transformer.h.3.ln_1.bias", Kind.NORM),
        ("transformer.h.3.attn.c_attn.weight", Kind.ATTENTION),
        ("transformer.h.3.mlp.c_fc.weight", Kind.MLP),
        ("bert.encoder.layer.0.attention.self.query.weight", Kind.ATTENTION),
        ("bert.embeddings.LayerNorm.weight", Kind.NORM),
        ("model.embed_tokens.weight", Kind.MLP),
        ("lm_head.weight", Kind.MLP),
    ],
)
def test_kinds(name: str, kind: Kind) -> None:
    assert kind_of_tensor(name) is kind


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("model.layers.12.mlp.experts.3.w1.weight", 12),
        ("h.4.attn.bias", 4),
        ("lm_head.weight", None),
        ("model.embed_tokens.weight", None),
    ],
)
def test_layers(name: str, layer: int | None) -> None:
    assert layer_of_tensor(name) == layer


def test_ends_of_the_model_belong_to_the_first_and_the_last_group() -> None:
    layout = Layout.of(LLAMA, layers_per_group=1, per_kind=True)
    assert layout.n_layers == 11
    cells = by_tensor(layout.cells)
    assert cells["model.embed_tokens.weight"].group == 0
    assert cells["model.norm.weight"].group == cells["lm_head.weight"].group == 10
    assert cells["model.norm.weight"].kind is Kind.NORM


def test_cells_partition_the_tensors_from_input_to_output() -> None:
    layout = Layout.of(LLAMA, layers_per_group=2, per_kind=True)
    assert sorted(layout.tensors) == sorted(LLAMA)
    assert [cell.group for cell in layout.cells] == [0, 0, 0, 1, 1, 1, 5, 5, 5]
    assert [cell.kind for cell in layout.cells[:3]] == [Kind.ATTENTION, Kind.MLP, Kind.NORM]


def test_without_kinds_there_is_one_cell_a_group() -> None:
    layout = Layout.of(LLAMA, layers_per_group=100, per_kind=False)
    assert [(cell.group, cell.kind) for cell in layout.cells] == [(0, Kind.ALL)]


def test_a_model_with_two_stacks_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"2 stacks .*decoder\.block, encoder\.block"):
        Layout.of(["encoder.block.0.w", "decoder.block.0.w"], 1, True)
