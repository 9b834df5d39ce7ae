"""Racing: many candidates on few samples, the best of them on more, the winners on all.

Successive halving (Jamieson & Talwalkar 2016) and Hyperband (Li et al. 2017, alg. 1) around any
search. Of each birth of the inner search several candidates are asked; they race up the rungs of
the fitness, and the inner search is told the winners' records of the last rung, nothing else.

Which birth is which candidate is a pure function of the birth: see `brackets`. In ordered mode
every candidate of a rung is told before the first is promoted, so a run is repeatable. In free
mode the promotions are decided when as many records are told, whichever they are; stragglers are
cut: what they score later is data, and changes nothing. A rung's samples are the same all
through a run: too few of them at the first rung mislead every bracket the same way.

Knows no genome, no operator and no fitness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic

import numpy as np

from evolve.errors import ExperimentError
from evolve.score import G, Objective, Record
from evolve.search.brackets import Layout
from evolve.search.promotion import ranking
from evolve.search.protocol import PROMOTION, Plan, Proposal, Search, window_of

BRACKETS = 16  # under way at once: about 70 births in flight with eta = 3 on three rungs


@dataclass(frozen=True, eq=False)
class _Racer(Generic[G]):
    """A candidate after a rung, and the record of its first one: how it came to be."""

    record: Record[G]
    origin: Record[G]


class Racing(Generic[G]):
    """`search` under successive halving over the `rungs` rungs of the fitness.

    eta: one of `eta` candidates is promoted. winners: inner births a bracket serves, also the
    candidates that reach its last rung. starts: the rung where a bracket begins, bracket c at
    starts[c % len(starts)]; `winners` may be a sequence as long. brackets: how many may be under
    way at once; more keep more workers busy, as far as `search.seen` allows.

    `search.ask` must draw from its `rng` for a race: candidates that are equal (founders, a
    generation drawn at tell) cost one evaluation together, and each one that is different goes
    on to the last rung first. A promotion is a birth: same genome, next rung, its parent the
    birth promoted. The inner search is told the record of the last rung under its own birth
    number, with parents, operator and facts of the first. Under `Free` order it may be asked
    before `search.seen` of its records are told, unless it waits for all of them.

    Raises `ExperimentError` for parts that do not fit.
    """

    def __init__(
        self,
        search: Search[G],
        *,
        objectives: Sequence[Objective],
        rungs: int,
        eta: int = 3,
        winners: int | Sequence[int] = 1,
        starts: Sequence[int] = (0,),
        brackets: int = BRACKETS,
    ) -> None:
        each = [winners] * len(starts) if isinstance(winners, int) else list(winners)
        for name, number, least in (
            ("rungs", rungs, 2),
            ("eta", eta, 2),
            ("brackets", brackets, 1),
            *(("winners", number, 1) for number in each),
        ):
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise ExperimentError(f"Racing.{name} is {number!r}; give an int >= {least}.")
        if not objectives:
            raise ExperimentError("Racing has no objectives; give the fitness's.")
        if not starts or any(start not in range(rungs) for start in starts):
            raise ExperimentError(
                f"Racing.starts is {tuple(starts)}; give one or more rungs from 0 to {rungs - 1}."
            )
        if len(each) != len(starts):
            raise ExperimentError(
                f"Racing got {len(each)} winners for {len(starts)} starts; give one number, or "
                "one a start."
            )
        window = window_of(search)
        if max(each) > window:
            raise ExperimentError(
                f"Racing.winners is {max(each)}, but {type(search).__name__} lets {window} births "
                "fly at once, so that a bracket would wait for its own winners; give the search a "
                f"window (or offspring) of {max(each)} or more, or Racing fewer winners."
            )
        self.search = search
        self.objectives = tuple(objectives)
        self.layout = Layout(
            search.seen, rungs=rungs, eta=eta, winners=each, starts=starts, brackets=brackets
        )
        self._last = rungs - 1
        self._n_told = 0
        self._opened = 0  # blocks whose births may be asked
        self._racers: dict[int, list[_Racer[G]]] = {}  # told and not yet promoted, by block
        self._promoted: dict[int, _Racer[G]] = {}  # by the birth that it becomes, until told
        self._cut: set[int] = set()  # births not told when their rung was decided
        self._open()

    def seen(self, birth: int) -> int:
        return self.layout.at(birth).seen

    def ask(self, birth: int, rng: np.random.Generator) -> Proposal[G] | Plan[G]:
        block, racer = self.layout.at(birth), self._promoted.get(birth)
        if racer is not None:
            came = (racer.record.birth,)
            genome, facts = racer.record.genome, racer.origin.facts
            return Proposal(genome, came, PROMOTION, block.rung, facts)
        # A new candidate; above its first rung only where too few were told to be promoted.
        place = (birth - block.births.start) % len(block.inner)
        return replace(self.search.ask(block.inner[place], rng), rung=block.rung)

    def tell(self, record: Record[G], rng: np.random.Generator) -> None:
        block, racer = self.layout.at(record.birth), self._promoted.pop(record.birth, None)
        origin = record if racer is None else racer.origin
        if block.rung == self._last:
            known = replace(record, parents=origin.parents, operator=origin.operator)
            self.search.tell(known, rng)
        elif record.birth in self._cut:
            self._cut.remove(record.birth)
        else:
            self._racers.setdefault(block.index, []).append(_Racer(record, origin))
        self._n_told += 1
        self._open()

    @property
    def elites(self) -> Sequence[Record[G]]:
        """The inner search's: records of the last rung."""
        return self.search.elites

    def _open(self) -> None:
        """Decide the promotions into every block whose time has come."""
        while (block := self.layout.block(self._opened)).seen <= self._n_told:
            self._opened += 1
            if block.source is None:
                continue
            racers = self._racers.pop(block.source, [])
            records = [racer.record for racer in racers]
            self._cut |= {*self.layout.block(block.source).births} - {r.birth for r in records}
            for birth, i in zip(block.births, ranking(records, self.objectives)):
                self._promoted[birth] = racers[i]


def hyperband(
    search: Search[G],
    *,
    objectives: Sequence[Objective],
    rungs: int,
    eta: int = 3,
    winners: int = 1,
    brackets: int = BRACKETS,
) -> Racing[G]:
    """Brackets that begin at each rung in turn, about equally dear (Li et al. 2017, table 1).

    From rung 0 (many candidates, bold) to the last (no race at all), `winners` times as many as
    in the table, which holds where a rung has `eta` times the samples of the one before. The
    last bracket has winners * rungs winners: `search` must let as many births fly at once.
    """
    starts = range(rungs)
    each = [winners * (rungs // (rungs - start)) for start in starts]
    return Racing(
        search,
        objectives=objectives,
        rungs=rungs,
        eta=eta,
        winners=each,
        starts=starts,
        brackets=brackets,
    )
