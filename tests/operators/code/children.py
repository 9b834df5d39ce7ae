from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from evolve.errors import Infertile
from evolve.genome import digest
from evolve.genomes.program.program import Program
from evolve.score import Record
from evolve.streams import Stream, rng_for
from evolve.variation import offspring
from operators.code import Mutator
from operators.code.mutator import applied, fitted
from operators.code.view import views
from tests.contracts.operator import OperatorContract
from tests.operators.code.starts import ROWS, program, record


class Children(OperatorContract[Program]):
    """The contract of operators, for those that return an `Offspring` of a program."""

    births = 3

    def parents(self, seed: int) -> Sequence[Record[Program]]:
        return [record(program(ROWS))]

    def child(self, parents: Sequence[Record[Program]], n: int = 0) -> Program:
        found = offspring(self.operator().vary(parents, rng_for(7, n, Stream.ASK)))
        assert digest(found.genome) not in {parent.digest for parent in parents}
        return found.genome


def words(operator: Mutator, network: str, rounds: int = 20) -> set[str]:
    """What the operator's sites would do, `rounds` times each, before the layers are fitted."""
    rng, found = np.random.default_rng(0), set()
    for view in views(program(network)):
        for site in operator.sites(view):
            for _ in range(rounds):
                try:
                    found.add(site(rng).change)
                except Infertile:
                    continue
    return found


@cache
def edits(operator: Mutator, network: str, rounds: int = 3) -> dict[str, str]:
    """The same with what fitting changes, and the region's new text. Much cheaper than `vary`."""
    rng, found = np.random.default_rng(0), {}
    for view in views(program(network)):
        for site in operator.sites(view):
            for _ in range(rounds):
                try:
                    edit = site(rng)
                    new, notes = fitted(view, applied(view, edit))
                except Infertile:
                    continue
                found["; ".join([edit.change, *notes])] = new.code
    return found
