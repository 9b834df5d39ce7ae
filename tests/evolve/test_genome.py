"""Digests and class paths: equal content is one individual wherever it was made."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from evolve.errors import GenomeError
from evolve.genome import Genome, Json, Packed, canonical, class_of, digest, kind_of
from evolve.genomes.vector import Vector
from tests.evolve.cases import vector

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, eq=False)
class Bag:
    """A genome that is nothing but what it packs."""

    facts: Mapping[str, Json] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def pack(self) -> Packed:
        return Packed(self.facts, self.arrays)

    @classmethod
    def unpack(cls, packed: Packed) -> Self:
        return cls(packed.facts, packed.arrays)

    def express(self) -> None:
        return None

    class Inner(Vector):
        pass


class Other(Bag):
    pass


def of(**arrays: np.ndarray) -> str:
    return digest(Bag({}, arrays))


def test_equal_content_has_one_digest() -> None:
    assert digest(vector(0.5)) == digest(vector(0.5))
    assert digest(Vector.unpack(vector(0.5).pack())) == digest(vector(0.5))
    assert digest(vector(0.5)) != digest(vector(0.25))


def test_order_of_names_and_memory_do_not_matter() -> None:
    a, b = np.arange(6.0).reshape(2, 3), np.ones(2)
    assert of(a=a, b=b) == of(b=b, a=a)
    assert of(a=a) == of(a=np.asfortranarray(a))
    assert of(a=a[:, ::2]) == of(a=a[:, ::2].copy())
    assert digest(Bag({"x": 1, "y": 2})) == digest(Bag({"y": 2, "x": 1}))


def test_every_part_of_the_content_matters() -> None:
    a = np.zeros(4)
    digests = [
        of(),
        of(a=a),
        of(b=a),
        of(a=a, b=a),
        of(a=a.reshape(2, 2)),
        of(a=a.reshape(4, 1)),
        of(a=a.astype(np.float32)),
        of(a=a.astype(np.int64)),
        of(a=np.zeros(1)),
        of(a=np.zeros(())),
        of(a=np.zeros(0)),
        of(a=np.zeros((0, 3))),
        of(a=np.full(4, -0.0)),
        digest(Bag({"a": 0})),
        digest(Bag({"a": 0.0})),
        digest(Bag({"a": "0"})),
        digest(Other()),
    ]
    assert len(set(digests)) == len(digests)


def test_a_digest_is_the_same_in_another_process() -> None:
    code = (
        "from evolve.genome import digest\n"
        "from tests.evolve.cases import vector\n"
        "print(digest(vector(0.1)))"
    )
    environment = {"PYTHONHASHSEED": "77", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest(vector(0.1))


def test_a_digest_is_pinned() -> None:
    """A change here makes every old ledger's digests wrong: raise the format with it."""
    expected = "5a49b9f6cc8fabd0d8add3899338906496037533e9924da00a7b77a70506c006"
    assert of(a=np.arange(3.0)) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_facts_must_be_json(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest(Bag({"a": value}))


def test_canonical_is_one_text() -> None:
    assert canonical({"b": [1, 2.5, None], "a": True}) == '{"a":true,"b":[1,2.5,null]}'


@pytest.mark.parametrize("genome", [vector(0.0), Bag()])
def test_class_paths_lead_back(genome: Genome) -> None:
    assert class_of(kind_of(genome)) is type(genome)


def test_nested_classes_have_paths() -> None:
    assert class_of(f"{__name__}:Bag.Inner") is Bag.Inner


@pytest.mark.parametrize(
    "kind",
    ["nowhere_at_all:X", f"{__name__}:Missing", f"{__name__}:f.<locals>.X", ":X", "", "nocolon"],
)
def test_a_class_that_cannot_be_had_is_named(kind: str) -> None:
    with pytest.raises(GenomeError, match="cannot be imported") as caught:
        class_of(kind)
    assert repr(kind) in str(caught.value)


@pytest.mark.parametrize("name", ["REPOSITORY", "Packed", "digest"])
def test_what_is_no_genome_is_refused(name: str) -> None:
    with pytest.raises(GenomeError, match="is not a genome class"):
        class_of(f"{__name__}:{name}")
