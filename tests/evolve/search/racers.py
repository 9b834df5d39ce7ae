"""A noisy sphere, searches on it, and the engine in small, for the tests of racing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evolve import Genetic, Needs, Objective, Steady
from evolve.genomes.vector import Box, Vector
from evolve.score import Record, Score
from evolve.search.protocol import Proposal, Search
from evolve.search.racing import Racing
from evolve.streams import Stream, rng_for, seed_for
from operators.selection import Tournament, Truncation
from operators.vector import SBX, GaussianMutation, PolynomialMutation, Then
from tests.contracts.search import told_record

BOX = Box.of(-1.0, 1.0, 4)
ONE = (Objective("distance"),)
TWO = (Objective("near"), Objective("far", maximise=True))


@dataclass(frozen=True)
class Noisy:
    """A sphere about 0.25, seen through noise: sample i has its own centre near it."""

    rungs: tuple[int, ...] = (3, 9, 27)
    noise: float = 0.3
    objectives: tuple[Objective, ...] = ONE
    needs: Needs = field(default_factory=Needs)

    def evaluate(self, genomes: Sequence[Vector], rung: int, seed: int) -> list[Score]:
        rng = np.random.default_rng(seed)
        centres = 0.25 + rng.normal(0, self.noise, (self.rungs[rung], BOX.size))
        rows = [((genome.values - centres) ** 2).sum(1) for genome in genomes]
        return [Score((float(row.mean()),), samples=(row.astype(np.float32),)) for row in rows]

    def at(self, genome: Vector, rung: int) -> Score:
        return self.evaluate([genome], rung, seed_for(0, rung, Stream.EVALUATE))[0]


def founders(n: int) -> list[Vector]:
    return [Vector.random(BOX, rng_for(11, i, Stream.ASK)) for i in range(n)]


def genetic(**changes: Any) -> Genetic[Vector]:
    parts: dict[str, Any] = {
        "founders": founders(12),
        "operators": [Then(SBX(), PolynomialMutation()), GaussianMutation()],
        "selection": Truncation(),
        "mating": Tournament(),
        "objectives": ONE,
        "size": 12,
        "pace": Steady(window=6),
    }
    return Genetic(**(parts | changes))


def racing(search: Search[Vector] | None = None, **changes: Any) -> Racing[Vector]:
    parts: dict[str, Any] = {"objectives": ONE, "rungs": 3}
    return Racing(search or genetic(), **(parts | changes))


@dataclass
class Steps:
    """Random vectors, `window` births at a time; writes down what it is asked and told."""

    window: int = 4
    asked: list[tuple[int, int]] = field(default_factory=list)  # birth, records told before
    told: list[Record[Vector]] = field(default_factory=list)

    def seen(self, birth: int) -> int:
        return max(0, birth - self.window + 1)

    def ask(self, birth: int, rng: np.random.Generator) -> Proposal[Vector]:
        self.asked.append((birth, len(self.told)))
        parents = tuple(record.birth for record in self.told[-1:])
        return Proposal(Vector.random(BOX, rng), parents, "step", facts={"step": birth})

    def tell(self, record: Record[Vector], rng: np.random.Generator) -> None:
        self.told.append(record)

    @property
    def elites(self) -> Sequence[Record[Vector]]:
        return sorted(self.told, key=lambda record: record.score.values)[:1]


def race(
    search: Search[Vector],
    births: int,
    evaluate: Callable[[Vector, int], Score],
    pick: Callable[[list[int]], int] = min,
) -> tuple[dict[int, Record[Vector]], list[int]]:
    """The engine in small: all records, and the order of telling, the next one by `pick`."""
    records: dict[int, Record[Vector]] = {}
    order: list[int] = []
    while len(order) < births:
        while (birth := len(records)) < births and search.seen(birth) <= len(order):
            proposal = search.ask(birth, rng_for(0, birth, Stream.ASK))
            assert isinstance(proposal, Proposal)
            score = evaluate(proposal.genome, proposal.rung)
            records[birth] = told_record(birth, proposal, score)
        birth = pick(sorted(set(records) - set(order)))
        search.tell(records[birth], rng_for(0, len(order), Stream.TELL))
        order.append(birth)
    return records, order
