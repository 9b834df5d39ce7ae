"""Probes first, then a search that is built from what they showed.

The first births are the probes, all in flight together. When they are told, `then` builds the
search of the other births. It counts its own births from 0: numbers are translated both ways. A
founder that was a probe is promoted, if its rung is dearer: what it scored counts on. Knows no
genome and no search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Generic

import numpy as np

from evolve.errors import ExperimentError
from evolve.genome import digest
from evolve.score import FOUNDER, G, Record
from evolve.search.protocol import PROMOTION, Plan, Proposal, Search

HORIZON = 1000  # births for which the two layouts are compared


class Probing(Generic[G]):
    """`probes` at `rung`, then the search `then(records)`, of the probes' records in birth order.

    `then(())` must build one too, with the same `seen`: it says which births fly together before
    there is a record. Records may have failed. Parents that the inner search names are its own
    births; a record of a probe has the number it was born under. Raises `ExperimentError` where
    there is no probe, or the two searches' `seen` differ.
    """

    def __init__(
        self,
        probes: Sequence[G],
        then: Callable[[Sequence[Record[G]]], Search[G]],
        *,
        rung: int = 0,
    ) -> None:
        if not probes:
            raise ExperimentError("Probing has no probes; give at least one, or the search alone.")
        self.probes = tuple(probes)
        self.rung = rung
        self._then = then
        self._layout = then(())
        self._records: list[Record[G]] = []
        self._births: dict[str, int] = {}  # probes told, by digest
        self._inner: Search[G] | None = None

    def seen(self, birth: int) -> int:
        n = len(self.probes)
        return 0 if birth < n else n + self._layout.seen(birth - n)

    def ask(self, birth: int, rng: np.random.Generator) -> Proposal[G] | Plan[G]:
        n = len(self.probes)
        if birth < n:
            return Proposal(self.probes[birth], (), "probe", self.rung)
        assert self._inner is not None, "the probes are told before the search is asked"
        found = self._inner.ask(birth - n, rng)
        if isinstance(found, Plan):
            return replace(
                found,
                parents=tuple(_moved(each, n) for each in found.parents),
                lessons=tuple(_moved(each, n) for each in found.lessons),
            )
        if found.operator == FOUNDER and found.rung > self.rung:
            probe = self._births.get(digest(found.genome))
            if probe is not None:
                return replace(found, parents=(probe,), operator=PROMOTION)
        return replace(found, parents=tuple(parent + n for parent in found.parents))

    def tell(self, record: Record[G], rng: np.random.Generator) -> None:
        n = len(self.probes)
        if self._inner is not None:
            self._inner.tell(_moved(record, -n), rng)
            return
        self._records.append(record)
        self._births[record.digest] = record.birth
        if len(self._records) < n:
            return
        self._inner = self._then(sorted(self._records, key=lambda each: each.birth))
        for birth in range(HORIZON):
            if self._inner.seen(birth) != self._layout.seen(birth):
                raise ExperimentError(
                    "Probing.then built a search whose `seen` depends on the probes' records; "
                    "give it as many founders, and the same numbers, whatever they show."
                )

    @property
    def elites(self) -> Sequence[Record[G]]:
        """The inner search's; none before it has told records."""
        if self._inner is None:
            return ()
        return [_moved(record, len(self.probes)) for record in self._inner.elites]


def _moved(record: Record[G], by: int) -> Record[G]:
    """`record` with the birth numbers of another count."""
    parents = tuple(parent + by for parent in record.parents)
    return replace(record, birth=record.birth + by, parents=parents)
