from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from evolve.errors import ExperimentError
from experiments.benchmarks.levels_against_llm_compressor import (
    Layer,
    our_gptq,
    peers,
    report,
    second_moments,
)


def test_without_llm_compressor_it_says_what_to_do() -> None:
    if importlib.util.find_spec("llmcompressor"):
        pytest.skip("llmcompressor is installed: nothing is missing")
    with pytest.raises(ExperimentError, match="environment of its own"):
        peers()


def test_second_moments_are_those_of_the_inputs() -> None:
    model = torch.nn.Sequential(torch.nn.Embedding(7, 4), torch.nn.Linear(4, 3))
    texts = {"a": np.array([[0, 1, 2], [3, 4, 5]]), "b": np.array([[6, 6, 6]])}
    linear = model[1]
    assert isinstance(linear, torch.nn.Linear)
    found = second_moments(model, {"1": linear}, texts)["1"]
    tokens = model[0].weight[[0, 1, 2, 3, 4, 5, 6, 6, 6]].detach()
    torch.testing.assert_close(found, (tokens.T @ tokens / 9).double(), rtol=1e-5, atol=1e-6)


def test_the_table_has_a_row_a_solver(capsys: pytest.CaptureFixture[str]) -> None:
    random = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 64, generator=random) @ torch.randn(64, 64, generator=random)
    moment = (inputs.T @ inputs / 200).double()
    weight = torch.randn(8, 64, generator=random).bfloat16()
    solvers = {"theirs": our_gptq(2, published=True), "ours": our_gptq(2, published=False)}
    report([Layer("one", weight, moment, moment)], {"2 bits": solvers})
    title, _, theirs, ours = capsys.readouterr().out.strip().splitlines()
    assert title.startswith("2 bits, 1 layers")
    assert theirs.split()[:3] == ["theirs", "1.000", "1.000"]
    assert float(ours.split()[1]) < 1
