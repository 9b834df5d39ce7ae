from pathlib import Path

import pytest
import torch

from evolve.errors import FitnessError
from evolve.genome import Genome
from evolve.genomes.vector import Vector
from evolve.score import Objective
from fitness.cost import BYTES, PARAMETERS, Size
from tests.contracts.fitness import FitnessContract
from tests.fitness.test_problems import vectors
from tests.fitness.tiny import Shifted, weights


class TestContract(FitnessContract):
    @pytest.fixture
    def fitness(self) -> Size:
        return Size()

    @pytest.fixture
    def genomes(self, llama: Path) -> list[Genome]:
        names = ["model.norm.weight", "model.layers.0.mlp.up_proj.weight"]
        return [Shifted(str(llama), 0.0, tuple(names[:n])) for n in range(3)]

    @pytest.fixture
    def misfit(self) -> Vector:
        return vectors(1)[0]


def test_counts_what_is_stored(llama: Path, shifted: list[Shifted]) -> None:
    n = sum(tensor.numel() for tensor in weights(llama).values())
    score = Size().evaluate(shifted[:1], 0, 0)[0]
    assert score.values == (n, 2 * n)  # bfloat16
    assert dict(score.metrics) == {"parameters": n, "bytes": 2 * n}
    assert Size((BYTES,)).evaluate(shifted[:1], 0, 0)[0].values == (2 * n,)


def test_tied_tensors_count_once_and_parts_of_one_do_not_tie() -> None:
    flat = torch.zeros(10)
    tied = {"a": flat, "b": flat}
    parts = {"a": flat[:4], "b": flat[4:], "c": torch.zeros(3, dtype=torch.int8)}
    assert Size().score_expressed(tied, 0, 0).values == (10.0, 40.0)
    assert Size().score_expressed(parts, 0, 0).values == (13.0, 43.0)


def test_other_objectives_are_refused() -> None:
    assert Size((PARAMETERS,)).objectives == (PARAMETERS,)
    for wrong in ((), (Objective("speed"),)):
        with pytest.raises(FitnessError, match="PARAMETERS and BYTES"):
            Size(wrong)
