"""Numeric operators: the contract, their distributions, and what they refuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from evolve.errors import ExperimentError, Infertile
from evolve.genome import digest
from evolve.genomes.vector import Box, Vector
from evolve.score import Needs, Record
from evolve.streams import Stream, rng_for
from evolve.variation import Operator
from operators.vector import (
    SBX,
    Centroid,
    GaussianMutation,
    LineCrossover,
    PolynomialMutation,
    Then,
    UniformCrossover,
)
from tests.contracts.operator import OperatorContract, record_of, vector_parents


class OnVectors(OperatorContract[Vector]):
    def parents(self, seed: int) -> Sequence[Record[Vector]]:
        return vector_parents(self.operator().arity, seed=seed)


class TestSBX(OnVectors):
    def operator(self) -> Operator[Vector]:
        return SBX()


class TestWideSBX(OnVectors):
    def operator(self) -> Operator[Vector]:
        return SBX(eta=0.0, rate=1.0)


class TestUniformCrossover(OnVectors):
    def operator(self) -> Operator[Vector]:
        return UniformCrossover()


class TestLineCrossover(OnVectors):
    def operator(self) -> Operator[Vector]:
        return LineCrossover()


class TestCentroid(OnVectors):
    def operator(self) -> Operator[Vector]:
        return Then(Centroid(arity=3), GaussianMutation())


class TestPolynomialMutation(OnVectors):
    def operator(self) -> Operator[Vector]:
        return PolynomialMutation()


class TestGaussianMutation(OnVectors):
    def operator(self) -> Operator[Vector]:
        return GaussianMutation()


class TestThen(OnVectors):
    def operator(self) -> Operator[Vector]:
        return Then(SBX(), PolynomialMutation())


def at(value: float, low: float = 0.0, high: float = 1.0, d: int = 1) -> Record[Vector]:
    box = Box.of(low, high, d)
    return Record(0, Vector(np.full(d, value), box), "", record_of(Vector(box.low, box)).score)


def children(operator: Operator[Vector], *parents: Record[Vector], n: int = 4000) -> np.ndarray:
    """(n,) first genes."""
    rng = rng_for(3, 0, Stream.ASK)
    return np.array([operator.vary(parents, rng).values[0] for _ in range(n)])


def quantile_gap(sample: np.ndarray, reference: np.ndarray) -> float:
    """The largest gap between the empirical distribution functions (Kolmogorov-Smirnov)."""
    grid = np.sort(np.concatenate([sample, reference]))
    ours = np.searchsorted(np.sort(sample), grid, side="right") / len(sample)
    theirs = np.searchsorted(np.sort(reference), grid, side="right") / len(reference)
    return float(np.abs(ours - theirs).max())


@pytest.mark.parametrize("eta", [2.0, 15.0])
def test_sbx_has_its_density_far_from_the_bounds(eta: float) -> None:
    """|child - mean| / half gap is beta, with density (eta+1)/2 beta^eta below 1 (Deb 1995)."""
    sample = children(SBX(eta=eta, rate=1.0), at(0.5, -1e6, 1e6), at(1.5, -1e6, 1e6))
    beta = np.abs(sample - 1.0) / 0.5
    u = np.random.default_rng(0).random(20000)
    expected = np.where(u < 0.5, 2 * u, 1 / (2 - 2 * u)) ** (1 / (eta + 1))
    assert quantile_gap(beta, expected) < 0.04
    assert abs((sample > 1.0).mean() - 0.5) < 0.04


def test_sbx_puts_no_heap_of_children_on_a_bound() -> None:
    sample = children(SBX(eta=1.0, rate=1.0), at(0.05), at(0.3))
    assert sample.min() >= 0.0
    assert (sample < 1e-9).mean() < 0.01  # clipping would put a tenth of them there
    assert (sample < 0.05).mean() > 0.05


def test_sbx_leaves_equal_and_uncrossed_genes_alone() -> None:
    assert (children(SBX(rate=1.0), at(0.25), at(0.25), n=50) == 0.25).all()
    crossed = children(SBX(rate=0.3), at(0.25), at(0.75)) != 0.25
    assert abs(crossed.mean() - 0.3) < 0.03


@pytest.mark.parametrize("x", [0.02, 0.5])
def test_polynomial_mutation_has_its_density(x: float) -> None:
    """Inverse of the integral of (eta+1)/2 (1-|delta|)^eta, cut at the bound and rescaled."""
    eta = 5.0
    sample = children(PolynomialMutation(eta=eta), at(x))
    grid = np.linspace(-1.0, 1.0, 200001)
    density = (1 - np.abs(grid)) ** eta
    down, up = (grid >= -x) & (grid < 0), (grid <= 1 - x) & (grid >= 0)
    density = np.where(down, density / density[down].sum(), 0.0) + np.where(
        up, density / density[up].sum(), 0.0
    )  # each side keeps half
    expected = np.interp(np.random.default_rng(0).random(20000), np.cumsum(density) / 2, grid)
    assert quantile_gap(sample - x, expected) < 0.04


def test_mutations_move_at_least_one_gene_and_about_one_in_d() -> None:
    operator = PolynomialMutation()
    parent = at(0.5, d=20)
    rng = rng_for(0, 0, Stream.ASK)
    moved = [(operator.vary([parent], rng).values != 0.5).sum() for _ in range(2000)]
    assert min(moved) == 1
    assert np.mean(moved) == pytest.approx(1 + (1 - 1 / 20) ** 20, abs=0.06)


def test_gaussian_sigma_is_in_box_widths() -> None:
    sample = children(GaussianMutation(sigma=0.01), at(50.0, 0.0, 100.0))
    assert sample.std() == pytest.approx(1.0, rel=0.05)
    assert sample.mean() == pytest.approx(50.0, abs=0.06)


def test_uniform_takes_whole_genes() -> None:
    sample = children(UniformCrossover(rate=0.25), at(0.0), at(1.0))
    assert set(sample) == {0.0, 1.0}
    assert sample.mean() == pytest.approx(0.25, abs=0.03)


def test_line_children_lie_on_the_line_a_quarter_beyond() -> None:
    box = Box.of(-10.0, 10.0, 2)
    first, second = (record_of(Vector(np.array(v), box)) for v in ([0.0, 0.0], [2.0, -4.0]))
    rng = rng_for(5, 0, Stream.ASK)
    found = np.array([LineCrossover().vary([first, second], rng).values for _ in range(4000)])
    np.testing.assert_allclose(found[:, 1], -2 * found[:, 0], atol=1e-12)
    t = found[:, 0] / 2
    assert quantile_gap(t, np.linspace(-0.25, 1.25, 4000)) < 0.03


def test_the_centroid_is_the_mean() -> None:
    parents = vector_parents(4, seed=9)
    child = Centroid(arity=4).vary(parents, rng_for(0, 0, Stream.ASK))
    mean = np.mean([parent.genome.values for parent in parents], axis=0)
    np.testing.assert_allclose(child.values, mean, rtol=1e-12)


@dataclass(frozen=True)
class Witness:
    """A mutation that keeps what it was shown."""

    shown: list[Record[Vector]]
    name: str = "witness"
    arity: int = 1
    needs: Needs | None = None

    def vary(self, parents: Sequence[Record[Vector]], rng: np.random.Generator) -> Vector:
        self.shown.extend(parents)
        return parents[0].genome


def test_then_shows_the_child_to_the_second() -> None:
    witness = Witness([])
    both = Then[Vector](UniformCrossover(), witness)
    child = both.vary(vector_parents(2), rng_for(0, 0, Stream.ASK)).genome
    assert both.name == "uniform+witness"
    assert both.arity == 2
    assert witness.shown[0].genome is child
    assert witness.shown[0].digest == digest(child)
    assert witness.shown[0].score.error is not None


def test_then_refuses_a_crossover_second() -> None:
    with pytest.raises(ExperimentError, match=r"'sbx' takes 2 parents.*give a mutation"):
        Then(GaussianMutation(), SBX())


def test_then_needs_a_worker_if_either_does() -> None:
    away = Needs(timeout=3.0)
    assert Then(SBX(), GaussianMutation()).needs is None
    assert Then(SBX(), GaussianMutation(needs=away)).needs is away


@pytest.mark.parametrize("operator", [SBX(), UniformCrossover()])
def test_unlike_parents_are_infertile(operator: Operator[Vector]) -> None:
    rng = rng_for(0, 0, Stream.ASK)
    with pytest.raises(Infertile, match=r"different boxes \(1 and 2 genes\)"):
        operator.vary([at(0.5), at(0.5, d=2)], rng)
    with pytest.raises(Infertile, match="different boxes"):
        operator.vary([at(0.5), at(0.5, high=2.0)], rng)

    class Other(Vector):
        pass

    stranger = record_of(Other(np.array([0.5]), Box.of(0.0, 1.0, 1)))
    with pytest.raises(Infertile, match="a Vector with a Other"):
        operator.vary([at(0.5), stranger], rng)  # type: ignore[list-item]


def test_wrong_number_of_parents() -> None:
    with pytest.raises(ExperimentError, match="sbx was given 1 parents; give 2"):
        SBX().vary([at(0.5)], rng_for(0, 0, Stream.ASK))


@pytest.mark.parametrize("operator", [PolynomialMutation(), GaussianMutation()])
def test_a_closed_box_is_infertile(operator: Operator[Vector]) -> None:
    with pytest.raises(Infertile, match="no free gene"):
        operator.vary([at(0.5, 0.5, 0.5)], rng_for(0, 0, Stream.ASK))


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: SBX(eta=-1.0), "eta=-1.0"),
        (lambda: SBX(rate=0.0), "rate=0.0"),
        (lambda: UniformCrossover(rate=1.5), "rate=1.5"),
        (lambda: PolynomialMutation(eta=float("nan")), "eta=nan"),
        (lambda: GaussianMutation(sigma=0.0), "sigma=0.0"),
        (lambda: LineCrossover(reach=-1.0), "reach=-1.0"),
        (lambda: Centroid(arity=1), "arity=1"),
    ],
)
def test_settings_out_of_range(build: type, text: str) -> None:
    with pytest.raises(ExperimentError, match=text):
        build()
