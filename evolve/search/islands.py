"""Islands: populations that evolve apart for a stint at a time, and exchange individuals between.

A birth is one stint of one island; what it learned, a whole tensor population, is its heritage.
No barrier: an island goes on from its own last stint and the newest one told of each neighbour.
Island model: Tanese 1989; Whitley, Rana & Heckendorn 1999. Knows no algorithm and no problem.

To read the individuals of a finished run:

    pop, fit = population(evolve.load("runs/islands").records)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from evolve.errors import ExperimentError
from evolve.genomes.island import Island
from evolve.score import G, Objective, Record, costs
from evolve.search.protocol import Proposal
from evolve.streams import torch_generator
from evolve.variation import Selection

Newest: TypeAlias = dict[int, tuple[int, Record[G]]]  # by island: the last good stint, its record


class Topology(Protocol):
    """Who sends migrants to whom."""

    def neighbours(self, island: int, n_islands: int, rng: np.random.Generator) -> Sequence[int]:
        """The islands from which `island` gets migrants now: distinct, without itself."""
        ...


@dataclass(frozen=True)
class Ring:
    """Each island gets migrants from the one before it, the first from the last."""

    def neighbours(self, island: int, n_islands: int, rng: np.random.Generator) -> Sequence[int]:
        return () if n_islands == 1 else ((island - 1) % n_islands,)


@dataclass(frozen=True)
class RandomGraph:
    """Each island gets migrants from `degree` others, drawn anew before each stint."""

    degree: int = 1

    def neighbours(self, island: int, n_islands: int, rng: np.random.Generator) -> Sequence[int]:
        if not _is_count(self.degree, 1) or self.degree >= n_islands:
            raise ExperimentError(
                f"RandomGraph.degree is {self.degree} for {n_islands} islands; give an int from 1 "
                f"to {n_islands - 1}."
            )
        steps = rng.choice(n_islands - 1, size=self.degree, replace=False) + 1
        return tuple((island + int(step)) % n_islands for step in steps)


class Islands:
    """`n_islands` populations in turn: birth b is stint b // n_islands of island b % n_islands.

    migrants: individuals drawn uniformly from each neighbour before a stint; 0 for islands that
    never meet. `selection` keeps as many of residents and migrants together as there were
    residents, by their costs `fit`; a resident that stays keeps its row, migrants take the rows
    of those that leave, in `pop` and `fit`; the algorithm's other buffers stay as they were.
    objectives: of the fitness that scores stints; they order the elites.

    An island whose stint failed goes on from its last good one, or starts anew if it has none.
    Under `Free` order an island may start from an older stint of its own than under `Ordered`.
    Raises `ExperimentError` for parts that do not fit.
    """

    def __init__(
        self,
        *,
        n_islands: int,
        selection: Selection,
        migrants: int,
        objectives: Sequence[Objective],
        topology: Topology = Ring(),
    ) -> None:
        if not _is_count(n_islands, 1) or not _is_count(migrants, 0):
            raise ExperimentError(
                f"Islands got n_islands={n_islands!r} and migrants={migrants!r}; give 1 or more "
                "islands and 0 or more migrants, as ints."
            )
        for island in range(n_islands):
            found = list(topology.neighbours(island, n_islands, np.random.default_rng(0)))
            if not set(found) <= set(range(n_islands)) - {island} or len(set(found)) < len(found):
                raise ExperimentError(
                    f"{type(topology).__name__} gives island {island} of {n_islands} the "
                    f"neighbours {found}; they must be distinct others, from 0 up."
                )
        self.n_islands = n_islands
        self.selection = selection
        self.migrants = migrants
        self.objectives = tuple(objectives)
        self.topology = topology
        self._newest: Newest[Island] = {}

    def seen(self, birth: int) -> int:
        return max(0, birth - self.n_islands + 1)

    def ask(self, birth: int, rng: np.random.Generator) -> Proposal[Island]:
        stint, island = divmod(birth, self.n_islands)
        if island not in self._newest:
            return Proposal(Island(island, stint, {}))
        _, own = self._newest[island]
        near = self.topology.neighbours(island, self.n_islands, rng)
        guests = [self._newest[other][1] for other in near if other in self._newest]
        if not guests or not self.migrants:
            return Proposal(Island(island, stint, _state(own)), (own.birth,), "stint")
        state, n_settled = self._joined(_state(own), [_state(guest) for guest in guests], rng)
        parents = (own.birth, *(guest.birth for guest in guests))
        return Proposal(
            Island(island, stint, state), parents, "migration", facts={"settled": n_settled}
        )

    def tell(self, record: Record[Island], rng: np.random.Generator) -> None:
        if record.score.error is None and record.score.heritage is None:
            raise ExperimentError(
                f"Birth {record.birth} was scored without heritage; Islands needs a fitness that "
                "returns the new population as heritage, e.g. fitness.stint.Stint."
            )
        _keep_(self._newest, record)

    @property
    def elites(self) -> Sequence[Record[Island]]:
        """The newest good stint of each island, best first."""
        living = [record for _, (_, record) in sorted(self._newest.items())]
        feasible = [record for record in living if record.score.violation == 0]
        table = costs([record.score for record in feasible], self.objectives)
        return tuple(feasible[i] for i in table.sum(1).argsort(kind="stable"))

    def _joined(
        self,
        home: Mapping[str, np.ndarray],
        others: Sequence[Mapping[str, np.ndarray]],
        rng: np.random.Generator,
    ) -> tuple[dict[str, np.ndarray], int]:
        """`home` after the migrants from `others` have come, and how many of them settled."""
        import torch

        size = len(home["fit"])
        sizes = [len(each["fit"]) for each in others]
        draws = [np.sort(rng.choice(n, min(self.migrants, n), replace=False)) for n in sizes]
        pop, fit = (
            np.concatenate([home[name], *(each[name][rows] for each, rows in zip(others, draws))])
            for name in ("pop", "fit")
        )
        table = torch.from_numpy(fit.reshape(len(fit), -1))
        try:
            selected = self.selection(table, size, generator=torch_generator(rng))
        except ValueError as error:
            raise ExperimentError(
                f"Islands.selection {type(self.selection).__name__} does not fit costs "
                f"{tuple(table.shape)} of the islands: {error}"
            ) from error
        kept = selected.indices.numpy()
        settlers = np.sort(kept[kept >= size])
        rows = np.arange(size)
        rows[np.isin(rows, kept, invert=True)] = settlers
        return {**home, "pop": pop[rows], "fit": fit[rows]}, len(settlers)


def population(records: Iterable[Record[G]]) -> tuple[np.ndarray, np.ndarray]:
    """(pop, fit) of all islands together: the newest good stint of each, in order of island.

    records: of a run of islands, e.g. `evolve.load(path).records`. Raises `ValueError` if no
    stint succeeded.
    """
    newest: Newest[G] = {}
    for record in records:
        _keep_(newest, record)
    states = [_state(record) for _, (_, record) in sorted(newest.items())]
    if not states:
        raise ValueError("No island has a stint that succeeded among these records.")
    pop, fit = (np.concatenate([state[name] for state in states]) for name in ("pop", "fit"))
    return pop, fit


def _is_count(number: object, least: int) -> bool:
    """Whether it is an int of `least` or more; a bool is none."""
    return isinstance(number, int) and not isinstance(number, bool) and number >= least


def _keep_(newest: Newest[G], record: Record[G]) -> None:
    """Put `record` into `newest` if it succeeded and no later stint of its island is there."""
    genome: object = record.genome
    if record.score.error is not None or not isinstance(genome, Island):
        return
    stint, _ = newest.get(genome.island, (-1, record))
    if stint <= genome.stint:
        newest[genome.island] = (genome.stint, record)


def _state(record: Record[G]) -> Mapping[str, np.ndarray]:
    """What a good stint left: the algorithm's whole state."""
    assert record.score.heritage is not None, "good stints have heritage"
    return record.score.heritage
