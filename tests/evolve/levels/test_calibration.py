"""Second moments block by block equal those of one pass through the whole model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from evolve.errors import GenomeError
from evolve.genomes.compression.anatomy import Anatomy
from evolve.levels import calibration
from evolve.levels.calibration import second_moments
from tests.evolve.genomes.compression.families import FAMILIES, write

TOKENS = np.random.default_rng(0).integers(3, 64, (3, 16))


def oracle(anatomy: Anatomy) -> dict[str, torch.Tensor]:
    """The mean of x x^T by name, from hooks on every layer of the whole model at once."""
    model: Any = AutoModelForCausalLM.from_pretrained(anatomy.source.path, dtype=torch.float32)
    sums: dict[str, torch.Tensor] = {}

    def note(name: str) -> Any:
        def hook(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            flat = args[0].reshape(-1, args[0].shape[-1]).double()
            sums[name] = sums.get(name, torch.zeros(())) + flat.T @ flat / TOKENS.size

        return hook

    for linear in anatomy.linears:
        model.get_submodule(linear.name).register_forward_pre_hook(note(linear.name))
    with torch.no_grad():
        model(input_ids=torch.tensor(TOKENS))
    return sums


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_the_whole_model_s(family: str, tmp_path: Path) -> None:
    anatomy = Anatomy.of(write(tmp_path / "model", family))
    names = [linear.name for linear in anatomy.linears]
    expected = oracle(anatomy)
    found = {}
    for inputs in second_moments(anatomy, TOKENS, names):
        for name in inputs.names:
            found[name] = inputs.hessian
    assert sorted(found) == sorted(names)
    for name, hessian in found.items():
        torch.testing.assert_close(hessian.double(), expected[name], rtol=1e-4, atol=1e-5)


def test_layers_with_one_input_share_a_sum(tmp_path: Path) -> None:
    anatomy = Anatomy.of(write(tmp_path / "model", "llama"))
    names = [linear.name for linear in anatomy.linears]
    groups = [
        tuple(name.rpartition(".")[2] for name in inputs.names)
        for inputs in second_moments(anatomy, TOKENS, names)
    ]
    block = [("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",)]
    assert groups == 2 * block


def test_only_what_is_wanted_and_the_same_bits(tmp_path: Path) -> None:
    anatomy = Anatomy.of(write(tmp_path / "model", "llama"))
    names = [linear.name for linear in anatomy.linears]
    every = {inputs.names: inputs.hessian for inputs in second_moments(anatomy, TOKENS, names)}
    wanted = ["model.layers.0.self_attn.k_proj", "model.layers.1.self_attn.o_proj"]
    some = list(second_moments(anatomy, TOKENS, wanted))
    assert len(some) == 2
    for inputs in some:
        assert torch.equal(inputs.hessian, every[inputs.names])
    assert list(second_moments(anatomy, TOKENS, [])) == []


def test_blocks_that_are_no_chain_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anatomy = Anatomy.of(write(tmp_path / "model", "llama"))
    out = calibration._out
    monkeypatch.setattr(calibration, "_out", lambda *args: out(*args) + 1)
    with pytest.raises(GenomeError, match=r"model\.layers\.1 of model is not fed by the block"):
        list(second_moments(anatomy, TOKENS, [linear.name for linear in anatomy.linears]))
