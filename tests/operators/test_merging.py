"""Crossovers by layer: the contract, and that layers stay whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from evolve.errors import ExperimentError, Infertile
from evolve.genomes.vector import Box, Vector
from evolve.score import Record, Score
from evolve.streams import Stream, rng_for
from evolve.variation import Operator
from operators.merging import LayerCrossover, LayerShift, SplitPoint
from tests.contracts.operator import OperatorContract, vector_parents

DEPTH = np.array([0, 0, 2, 2, 2, 5, 0])  # groups need be neither dense nor contiguous
BOX = Box(np.zeros(7), np.ones(7), DEPTH)
PARENTS = [
    Record(i, Vector(np.full(7, value), BOX), str(i), Score((0.0,)))
    for i, value in enumerate((0.0, 1.0))
]


class OnVectors(OperatorContract[Vector]):
    def parents(self, seed: int) -> Sequence[Record[Vector]]:
        return vector_parents(self.operator().arity, seed=seed)


class TestLayerCrossover(OnVectors):
    def operator(self) -> Operator[Vector]:
        return LayerCrossover()


class TestSplitPoint(OnVectors):
    def operator(self) -> Operator[Vector]:
        return SplitPoint()


class TestLayerShift(OnVectors):
    def operator(self) -> Operator[Vector]:
        return LayerShift()


def children(operator: Operator[Vector], n: int) -> np.ndarray:
    """(n, 3): the share of the second parent in each layer group, which must be one number."""
    rng = rng_for(0, 0, Stream.ASK)
    rows = []
    for _ in range(n):
        values = operator.vary(PARENTS, rng).values
        groups = [values[depth == DEPTH] for depth in (0, 2, 5)]
        assert all(np.ptp(group) == 0 for group in groups)
        rows.append([group[0] for group in groups])
    return np.array(rows)


def test_layers_are_swapped_whole() -> None:
    shares = children(LayerCrossover(rate=0.25), 2000)
    assert set(shares.ravel()) == {0.0, 1.0}
    assert shares.mean(0) == pytest.approx([0.25] * 3, abs=0.04)
    assert len(np.unique(shares, axis=0)) == 8  # each layer by its own draw


def test_split_mixes_by_w_before_and_its_rest_after() -> None:
    shares = children(SplitPoint(), 4000)
    changes = np.diff(shares, axis=1) != 0
    assert (changes.sum(1) <= 1).all()  # one split at most
    turned = shares[changes.any(1)]
    assert turned[:, 0] + turned[:, 2] == pytest.approx(np.ones(len(turned)))
    # 3 groups have 4 borders, of which the 2 inner ones turn w into 1-w
    assert changes.mean(0) == pytest.approx([0.25, 0.25], abs=0.03)
    assert shares[:, 0].mean() == pytest.approx(0.5, abs=0.02)


def test_rate_out_of_range() -> None:
    with pytest.raises(ExperimentError, match=r"rate=0.*in \(0, 1\]"):
        LayerCrossover(rate=0.0)


EVEN = Box(np.zeros(6), np.full(6, 2.0), np.array([0, 0, 1, 1, 4, 4]))  # two genes a group


def test_a_shift_moves_one_gene_of_consecutive_groups_alike() -> None:
    parent = Record(0, Vector(np.ones(6), EVEN), "0", Score((0.0,)))
    rng, patterns = rng_for(1, 0, Stream.ASK), set()
    for _ in range(400):
        step = (LayerShift((0.01, 0.05)).vary([parent], rng).values - 1.0).reshape(3, 2)
        moved = step != 0
        assert moved.any(0).sum() == 1
        lane = int(moved.any(0).argmax())
        groups = np.flatnonzero(moved[:, lane])
        assert (np.diff(groups) == 1).all()
        assert np.ptp(step[groups, lane]) < 1e-12
        patterns.add((lane, *groups.tolist()))
    assert len(patterns) == 2 * 6  # every range of three groups, for both genes


def test_a_shift_has_large_and_small_steps() -> None:
    wide = Box(np.zeros(1), np.full(1, 1e6), np.zeros(1, dtype=np.int64))
    parent = Record(0, Vector(np.full(1, 5e5), wide), "0", Score((0.0,)))
    rng = rng_for(2, 0, Stream.ASK)
    shift = LayerShift((1e-4, 1e-2))
    steps = [abs(shift.vary([parent], rng).values[0] - 5e5) / 1e6 for _ in range(2000)]
    assert np.quantile(steps, 0.9) / np.quantile(steps, 0.1) > 30
    # the mean of |normal| times the mean of a log-uniform deviation
    assert np.mean(steps) == pytest.approx(0.798 * (1e-2 - 1e-4) / np.log(100), rel=0.15)


def test_a_shift_needs_groups_of_equal_size() -> None:
    with pytest.raises(Infertile, match="same genes"):
        LayerShift().vary(PARENTS[:1], rng_for(0, 0, Stream.ASK))


@pytest.mark.parametrize("sigma", [(0.0, 0.1), (0.2, 0.1)])
def test_a_shift_refuses_a_range(sigma: tuple[float, float]) -> None:
    with pytest.raises(ExperimentError, match="sigma"):
        LayerShift(sigma)
