"""Crossover and mutation of real vectors in a box. Knows genes and bounds, not what they mean.

SBX: Deb & Agrawal 1995, "Simulated binary crossover for continuous search space". Polynomial
mutation: Deb & Goyal 1996, "A combined genetic adaptive search (GeneAS)". Both in the bounded
form that came with NSGA-II (Deb et al. 2002): the density beyond a bound is spread within it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Self, TypeVar

import numpy as np

from evolve.errors import ExperimentError, Infertile
from evolve.genome import digest
from evolve.genomes.vector import Box, VectorLike
from evolve.score import G, Needs, Record, Score
from evolve.variation import Offspring, Operator, offspring, placed

V = TypeVar("V", bound=VectorLike)

_SAME = 1e-14  # genes closer than this are equal to SBX: its spread would divide by zero


@dataclass(frozen=True)
class SBX:
    """Simulated binary crossover: children spread about two parents as bits would, near for
    a large `eta`. A gene is crossed with probability `rate`, else it is the first parent's."""

    eta: float = 15.0
    rate: float = 0.5
    name: str = "sbx"
    arity: int = 2
    needs: Needs | None = None

    def __post_init__(self) -> None:
        _check(self.name, eta=self.eta, rate=self.rate)

    def vary(self, parents: Sequence[Record[V]], rng: np.random.Generator) -> V:
        """One of the two children, drawn gene by gene. Raises `Infertile` for unlike parents."""
        first, second = mates(parents, self.arity, self.name)
        box, a, b = first.box, first.values, second.values
        crossed = (rng.random(box.size) < self.rate) & (np.abs(a - b) > _SAME)
        u, lower = rng.random(box.size), rng.random(box.size) < 0.5
        y1, y2 = np.minimum(a, b), np.maximum(a, b)
        gap = np.where(crossed, y2 - y1, 1.0)
        # The lower child may go down to `low`, the upper one up to `high`: each has its own beta.
        room = np.where(lower, y1 - box.low, box.high - y2)
        beta = 1.0 + 2.0 * np.maximum(room, 0.0) / gap  # spread at which the bound is met
        alpha = 2.0 - beta ** -(self.eta + 1.0)  # twice the density within the bound
        inside = u <= 1.0 / alpha
        base = np.where(inside, u * alpha, 1.0 / (2.0 - np.where(inside, 0.0, u * alpha)))
        spread = base ** (1.0 / (self.eta + 1.0))  # beta_q: contracting or expanding half
        child = 0.5 * (y1 + y2 + np.where(lower, -spread, spread) * gap)
        return first.at(np.where(crossed, child, a))


@dataclass(frozen=True)
class UniformCrossover:
    """Every gene from the second parent with probability `rate`, else from the first."""

    rate: float = 0.5
    name: str = "uniform"
    arity: int = 2
    needs: Needs | None = None

    def __post_init__(self) -> None:
        _check(self.name, rate=self.rate)

    def vary(self, parents: Sequence[Record[V]], rng: np.random.Generator) -> V:
        """Raises `Infertile` for unlike parents."""
        first, second = mates(parents, self.arity, self.name)
        taken = rng.random(first.box.size) < self.rate
        return first.at(np.where(taken, second.values, first.values))


@dataclass(frozen=True)
class LineCrossover:
    """A point on the line through two parents, up to `reach` of their distance beyond either.

    Extended line recombination (Mühlenbein & Schlierkamp-Voosen 1993): all genes move together,
    so it follows directions that the parents differ in, as whole experts do in a merge.
    """

    reach: float = 0.25
    name: str = "line"
    arity: int = 2
    needs: Needs | None = None

    def __post_init__(self) -> None:
        if not self.reach >= 0:
            raise ExperimentError(f"line has reach={self.reach}; give 0 or more.")

    def vary(self, parents: Sequence[Record[V]], rng: np.random.Generator) -> V:
        """Raises `Infertile` for parents of different kinds or boxes."""
        first, second = mates(parents, self.arity, self.name)
        t = rng.uniform(-self.reach, 1.0 + self.reach)
        return first.at((1.0 - t) * first.values + t * second.values)


@dataclass(frozen=True)
class Centroid:
    """The mean of `arity` parents: intermediate multi-recombination.

    Averaging keeps what good parents share and cancels what mutation did to each, the genetic
    repair of the (mu/rho, lambda) evolution strategies (Beyer 1995, "Toward a theory of evolution
    strategies: on the benefits of sex"). Follow it with a mutation.
    """

    name: str = "centroid"
    arity: int = 5
    needs: Needs | None = None

    def __post_init__(self) -> None:
        if self.arity < 2:
            raise ExperimentError(f"centroid has arity={self.arity}; give 2 parents or more.")

    def vary(self, parents: Sequence[Record[V]], rng: np.random.Generator) -> V:
        """Raises `Infertile` for parents of different kinds or boxes."""
        genomes = mates(parents, self.arity, self.name)
        return genomes[0].at(np.mean([genome.values for genome in genomes], axis=0))


@dataclass(frozen=True)
class PolynomialMutation:
    """A step of a gene within its bounds, small for a large `eta`.

    Each gene moves with probability `rate` (None: 1/d), and at least one always does, unlike in
    NSGA-II: a twin of its parent would spend a birth and teach nothing.
    """

    eta: float = 20.0
    rate: float | None = None
    name: str = "polynomial"
    arity: int = 1
    needs: Needs | None = None

    def __post_init__(self) -> None:
        _check(self.name, eta=self.eta, rate=self.rate)

    def vary(self, parents: Sequence[Record[V]], rng: np.random.Generator) -> V:
        """Raises `Infertile` if the box leaves no gene free."""
        (parent,) = mates(parents, self.arity, self.name)
        box, x = parent.box, parent.values
        moved = _moved(self.name, parent, self.rate, rng)
        u = rng.random(box.size)
        width = np.where(box.high > box.low, box.high - box.low, 1.0)
        down, up = (x - box.low) / width, (box.high - x) / width  # delta_1, delta_2
        power = self.eta + 1.0
        left = 2.0 * u + (1.0 - 2.0 * u) * (1.0 - down) ** power
        right = 2.0 * (1.0 - u) + (2.0 * u - 1.0) * (1.0 - up) ** power
        delta = np.where(
            u < 0.5,
            np.maximum(left, 0.0) ** (1.0 / power) - 1.0,  # in [-down, 0]
            1.0 - np.maximum(right, 0.0) ** (1.0 / power),  # in [0, up]
        )
        return parent.at(np.where(moved, x + delta * width, x))


@dataclass(frozen=True)
class GaussianMutation:
    """A normal step of `sigma` box widths, clipped to the box, on each gene with `rate`.

    At least one gene moves.
    """

    sigma: float = 0.05
    rate: float | None = 1.0
    name: str = "gaussian"
    arity: int = 1
    needs: Needs | None = None

    def __post_init__(self) -> None:
        _check(self.name, rate=self.rate)
        if not self.sigma > 0:
            raise ExperimentError(f"gaussian has sigma={self.sigma}; give box widths above 0.")

    def vary(self, parents: Sequence[Record[V]], rng: np.random.Generator) -> V:
        """Raises `Infertile` if the box leaves no gene free."""
        (parent,) = mates(parents, self.arity, self.name)
        box = parent.box
        moved = _moved(self.name, parent, self.rate, rng)
        step = self.sigma * (box.high - box.low) * rng.standard_normal(box.size)
        return parent.at(np.where(moved, parent.values + step, parent.values))


@dataclass(frozen=True)
class Then(Generic[G]):
    """`first`, then the mutation `second` on its child: one birth, one evaluation.

    `second` sees the child as a record with the first parent's number and an error for a score.
    """

    first: Operator[G]
    second: Operator[G]

    def __post_init__(self) -> None:
        if self.second.arity != 1:
            raise ExperimentError(
                f"Then's second operator {self.second.name!r} takes {self.second.arity} parents; "
                "give a mutation, which takes 1."
            )

    @property
    def name(self) -> str:
        return f"{self.first.name}+{self.second.name}"

    @property
    def arity(self) -> int:
        return self.first.arity

    @property
    def needs(self) -> Needs | None:
        """The first's, else the second's: put what needs a worker first if both do."""
        return self.first.needs or self.second.needs

    def at(self, folder: Path) -> Self:
        return replace(self, first=placed(self.first, folder), second=placed(self.second, folder))

    def vary(self, parents: Sequence[Record[G]], rng: np.random.Generator) -> Offspring[G]:
        """Raises `Infertile` where either does."""
        child = offspring(self.first.vary(parents, rng))
        unborn = Record(
            birth=parents[0].birth,
            genome=child.genome,
            digest=digest(child.genome),
            score=Score.failed("unborn: varied once more before it is evaluated"),
        )
        last = offspring(self.second.vary([unborn], rng))
        return Offspring(last.genome, {**child.facts, **last.facts})


def mates(parents: Sequence[Record[V]], arity: int, name: str) -> list[V]:
    """The parents' genomes, for the operator `name`.

    Raises `Infertile` unless all are of one kind and in one box.
    """
    if len(parents) != arity:
        raise ExperimentError(f"{name} was given {len(parents)} parents; give {arity}.")
    genomes = [parent.genome for parent in parents]
    first = genomes[0]
    for other in genomes[1:]:
        if type(other) is not type(first):
            raise Infertile(
                f"{name} cannot cross a {type(first).__name__} with a "
                f"{type(other).__name__}; give parents of one kind."
            )
        if not _same_box(first.box, other.box):
            raise Infertile(
                f"{name} cannot cross parents of different boxes "
                f"({first.box.size} and {other.box.size} genes); give parents of one box."
            )
    return genomes


def _same_box(ours: Box, theirs: Box) -> bool:
    return ours is theirs or all(
        np.array_equal(a, b)
        for a, b in (
            (ours.low, theirs.low),
            (ours.high, theirs.high),
            (ours.depth, theirs.depth),
        )
    )


def _moved(name: str, parent: V, rate: float | None, rng: np.random.Generator) -> np.ndarray:
    """(d,) bool: each free gene with `rate` (None: 1/d), at least one."""
    free = np.flatnonzero(parent.box.high > parent.box.low)
    if not len(free):
        raise Infertile(f"{name} finds no free gene: every gene's bounds are equal.")
    moved = np.zeros(parent.box.size, dtype=bool)
    moved[free] = rng.random(len(free)) < (1.0 / len(free) if rate is None else rate)
    sure = free[rng.integers(len(free))]
    if not moved.any():
        moved[sure] = True
    return moved


def _check(name: str, *, eta: float = 0.0, rate: float | None = None) -> None:
    if not eta >= 0:
        raise ExperimentError(f"{name} has eta={eta}; give a distribution index of 0 or more.")
    if rate is not None and not 0 < rate <= 1:
        raise ExperimentError(f"{name} has rate={rate}; give a probability in (0, 1].")
