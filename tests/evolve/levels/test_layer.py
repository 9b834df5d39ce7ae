from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load

from evolve.errors import GenomeError
from evolve.genomes.compression.database import ERRORS
from evolve.genomes.compression.level import Bits, Zeros
from evolve.genomes.compression.packing import dense, parts
from evolve.genomes.compression.space import BitGrid, ZeroGrid
from evolve.levels.hessian import output_error
from evolve.levels.layer import Task, solved
from evolve.levels.settings import Method, Settings
from tests.evolve.levels.layers import layer

BITS = (Bits(2, 16), Bits(4, 16), Bits(8, 16))
ZEROS = (Zeros(0), Zeros(100), Zeros(500), Zeros(24 * 32))


def task(method: Method, dtype: torch.dtype = torch.bfloat16) -> Task:
    weight, hessian = layer(24, 32)
    bits = method in (Method.GPTQ, Method.RTN)
    settings = Settings(BitGrid() if bits else ZeroGrid(), method)
    return Task("a.b", weight.to(dtype), hessian.float(), BITS if bits else ZEROS, settings)


def weights(given: Task) -> dict[str, torch.Tensor]:
    tensors = load(solved(given)[1])
    return {
        level.name: dense(level, {p: tensors[f"{level.name}.{p}"] for p in parts(level)}, 32)
        for level in given.levels
    }


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("method", Method)
def test_every_level_with_its_error(method: Method, dtype: torch.dtype, tmp_path: Path) -> None:
    given = task(method, dtype)
    name, payload = solved(given)
    assert name == "a.b"
    file = tmp_path / "it.safetensors"
    file.write_bytes(payload)
    with safe_open(file, "pt") as opened:
        errors = json.loads(opened.metadata()[ERRORS])
    found = weights(given)
    assert sorted(errors) == sorted(found)
    for level in given.levels:
        weight = found[level.name]
        assert weight.dtype == dtype
        assert errors[level.name] == output_error(given.weight, weight, given.hessian)
        if isinstance(level, Zeros):
            assert int((weight == 0).sum()) >= level.count
    ordered = [errors[level.name] for level in given.levels]
    assert ordered == sorted(ordered, reverse=method in (Method.GPTQ, Method.RTN))


@pytest.mark.parametrize("method", Method)
def test_the_same_bytes_every_time(method: Method) -> None:
    assert len({solved(task(method))[1] for _ in range(5)}) == 1


@pytest.mark.parametrize(
    ("better", "worse"), [(Method.GPTQ, Method.RTN), (Method.SPARSEGPT, Method.MAGNITUDE)]
)
def test_the_hessian_helps(better: Method, worse: Method) -> None:
    def total(method: Method) -> float:
        given = task(method)
        found = weights(given).values()
        errors = [output_error(given.weight, weight, given.hessian) for weight in found]
        return sum(errors[:3])  # where all is zero all methods are one

    assert total(better) < 0.8 * total(worse)


def test_nan_names_layer_and_level() -> None:
    given = task(Method.RTN)
    given.weight[3, 4] = torch.nan
    with pytest.raises(GenomeError, match=re.escape("a.b at b2g16: ")):
        solved(given)
    given = task(Method.GPTQ)
    given.hessian[0, 0] = torch.inf
    with pytest.raises(GenomeError, match=r"a\.b: .*NaN or infinity"):
        solved(given)


def test_an_overflow_names_layer_and_level() -> None:
    full = Settings(BitGrid(), Method.RTN, search_scales=False)
    given = replace(task(Method.RTN, torch.float16), settings=full)
    given.weight[0, 0] = -65000.0  # -2 of a scale of 43,328: beyond float16
    with pytest.raises(GenomeError, match=r"a\.b at b2g16 has NaN or infinity"):
        solved(given)
