"""What every genome must keep. Subclass a suite and give `genomes` as a fixture."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from evolve.genome import Genome, Packed, canonical, digest, kind_of
from evolve.genomes.vector import VectorLike

_ELSEWHERE = """
import json, sys
from safetensors.numpy import load_file
from evolve.genome import Packed, class_of, digest
for line in sys.stdin:
    kind, facts, file = json.loads(line)
    print(digest(class_of(kind).unpack(Packed(facts, load_file(file)))))
"""


def same(one: object, other: object) -> bool:
    """Equal bit for bit: arrays, tensors, mappings of them, or plain values."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and one.tobytes() == other.tobytes()
    if type(one).__module__ == "torch":
        import torch

        assert isinstance(one, torch.Tensor)
        assert isinstance(other, torch.Tensor)
        return one.dtype == other.dtype and torch.equal(one, other)
    return type(one) is type(other) and one == other


def carried(genome: Genome, folder: Path) -> Packed:
    """`genome` packed, through JSON text and a safetensors file in `folder`."""
    packed = genome.pack()
    file = folder / f"{digest(genome)}.safetensors"
    save_file({name: np.asarray(a, order="C") for name, a in packed.arrays.items()}, file)
    return Packed(json.loads(canonical(packed.facts)), load_file(file))


class GenomeContract:
    """Fixture of the subclass: `genomes`, two or more that differ."""

    def test_it_is_a_frozen_dataclass(self, genomes: list[Genome]) -> None:
        for genome in genomes:
            assert dataclasses.is_dataclass(genome)
            field = dataclasses.fields(genome)[0].name
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(genome, field, None)

    def test_it_survives_storage(self, genomes: list[Genome], tmp_path: Path) -> None:
        for genome in genomes:
            back = type(genome).unpack(carried(genome, tmp_path))
            assert type(back) is type(genome)
            assert digest(back) == digest(genome)
            assert same(back.pack().arrays, genome.pack().arrays)

    def test_different_genomes_have_different_digests(self, genomes: list[Genome]) -> None:
        assert len({digest(genome) for genome in genomes}) == len(genomes) >= 2

    def test_digests_are_the_same_in_another_process(
        self, genomes: list[Genome], tmp_path: Path
    ) -> None:
        lines = []
        for genome in genomes:
            carried(genome, tmp_path)
            file = tmp_path / f"{digest(genome)}.safetensors"
            lines.append(json.dumps([kind_of(genome), genome.pack().facts, str(file)]))
        answer = subprocess.run(
            [sys.executable, "-c", _ELSEWHERE],
            input="\n".join(lines),
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.stdout.split() == [digest(genome) for genome in genomes], answer.stderr

    def test_express_gives_equal_bits_every_time(
        self, genomes: list[Genome], tmp_path: Path
    ) -> None:
        for genome in genomes:
            before = digest(genome)
            first = genome.express()
            assert same(first, genome.express())
            assert same(first, type(genome).unpack(carried(genome, tmp_path)).express())
            assert digest(genome) == before


class VectorLikeContract(GenomeContract):
    """Of genomes that numeric operators move; needs at least one gene."""

    def test_it_is_vector_like(self, genomes: list[Genome]) -> None:
        assert all(isinstance(genome, VectorLike) for genome in genomes)

    def test_values_lie_in_the_box(self, genomes: list[VectorLike]) -> None:
        for genome in genomes:
            box, values = genome.box, genome.values
            assert values.dtype == np.float64
            assert values.shape == box.low.shape == box.depth.shape
            assert ((box.low <= values) & (values <= box.high)).all()
            assert set(np.diff(np.unique(box.depth))) <= {1}

    def test_at_moves_into_the_box_and_stays_there(self, genomes: list[VectorLike]) -> None:
        rng = np.random.default_rng(0)
        for genome in genomes:
            box = genome.box
            wild = rng.normal(0, 10, box.size)
            kept = wild.copy()
            there = genome.at(wild)
            assert (wild == kept).all()
            assert ((box.low <= there.values) & (there.values <= box.high)).all()
            assert digest(there.at(there.values)) == digest(there)

    def test_at_its_own_values_is_itself(self, genomes: list[VectorLike]) -> None:
        for genome in genomes:
            assert digest(genome.at(genome.values)) == digest(genome)
