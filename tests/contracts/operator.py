"""What every operator must do. Subclass `OperatorContract`, give `operator()` and `parents()`.

Knows no kind of genome, except that a vector-like child must lie in its box.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Generic

import numpy as np
import torch

from evolve.genome import canonical, digest
from evolve.genomes.vector import Box, Vector, VectorLike
from evolve.score import G, Record, Score
from evolve.streams import Stream, rng_for
from evolve.variation import Operator, offspring


def record_of(genome: G, birth: int = 0, value: float = 0.0) -> Record[G]:
    """`genome` as a scored parent."""
    return Record(birth, genome, digest(genome), Score((value,)))


def global_dice() -> bytes:
    """The state of every generator that a search or an operator must leave alone."""
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002
    return pickle.dumps((random.getstate(), numpy_state, torch.get_rng_state().numpy()))


def vector_parents(n: int, d: int = 12, seed: int = 0) -> list[Record[Vector]]:
    """`n` random vectors in one box with wide, narrow and closed genes; some at the bounds."""
    rng = rng_for(seed, 0, Stream.ASK)
    low = np.linspace(-2.0, 1.0, d)
    width = np.array([4.0, 1e-3, 0.0, 1e6])[np.arange(d) % 4]
    box = Box(low, low + width, np.arange(d) // 4)
    genomes = [Vector.random(box, rng) for _ in range(n)]
    genomes = [v.at(np.where(rng.random(d) < 0.2, box.high, v.values)) for v in genomes]
    return [record_of(genome, birth) for birth, genome in enumerate(genomes)]


class OperatorContract(Generic[G]):
    births = 40  # children a test looks at

    def operator(self) -> Operator[G]:
        raise NotImplementedError

    def parents(self, seed: int) -> Sequence[Record[G]]:
        """As many parents as the operator takes, e.g. `vector_parents(2, seed=seed)`."""
        raise NotImplementedError

    def child(self, parents: Sequence[Record[G]], n: int = 0) -> G:
        return offspring(self.operator().vary(parents, rng_for(7, n, Stream.ASK))).genome

    def test_has_a_name_and_an_arity(self) -> None:
        operator = self.operator()
        assert operator.name
        assert operator.arity >= 1
        assert len(self.parents(0)) == operator.arity

    def test_child_is_legal(self) -> None:
        for n in range(self.births):
            parents = self.parents(n)
            self.assert_legal(self.child(parents, n), parents)

    def test_child_of_identical_parents_is_legal(self) -> None:
        for n in range(self.births):
            parents = [self.parents(n)[0]] * self.operator().arity
            self.assert_legal(self.child(parents, n), parents)

    def test_parents_are_unchanged(self) -> None:
        for n in range(self.births):
            parents = self.parents(n)
            before = [digest(parent.genome) for parent in parents]
            self.child(parents, n)
            assert [digest(parent.genome) for parent in parents] == before

    def test_needs_no_score(self) -> None:
        parents = [replace(p, score=Score.failed("test: no score")) for p in self.parents(0)]
        self.assert_legal(self.child(parents), parents)

    def test_same_generator_same_bits(self) -> None:
        for n in range(self.births):
            one, other = self.child(self.parents(n), n), self.child(self.parents(n), n)
            assert digest(one) == digest(other)

    def test_other_generators_give_other_children(self) -> None:
        children = {digest(self.child(self.parents(0), n)) for n in range(self.births)}
        assert len(children) > 1

    def test_touches_no_global_generator(self) -> None:
        before = global_dice()
        self.child(self.parents(0))
        assert global_dice() == before

    def test_the_facts_of_a_child_are_json(self) -> None:
        found = offspring(self.operator().vary(self.parents(0), rng_for(7, 0, Stream.ASK)))
        canonical(found.facts)

    def test_survives_a_pickle(self) -> None:
        again = pickle.loads(pickle.dumps(self.operator()))
        child = offspring(again.vary(self.parents(0), rng_for(7, 0, Stream.ASK)))
        assert digest(child.genome) == digest(self.child(self.parents(0)))

    def assert_legal(self, child: G, parents: Sequence[Record[G]]) -> None:
        assert type(child) is type(parents[0].genome)
        packed = child.pack()
        canonical(packed.facts)  # is JSON, without NaN
        assert digest(type(child).unpack(packed)) == digest(child)
        if isinstance(child, VectorLike):
            assert child.values.shape == (child.box.size,)
            assert (child.values >= child.box.low).all()
            assert (child.values <= child.box.high).all()
