"""(1 + lambda) search with selection in stages: EvoPress (Sieberling et al. 2024, 2410.14649).

A generation's children are all scored on few samples, the best of them on more, the last of them
beside their parent; the best is the next parent. Faithful (`fresh`): every stage draws new
samples, and the parent is scored again in each generation. Otherwise samples are fixed and a
child is never one that was told before, so that nothing is evaluated twice.

Which birth is what: `generations`. Children are drawn from a seed that the last tell before them
drew, so that they are distinct though they are asked together. Knows no kind of genome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol

import numpy as np

from evolve.errors import ExperimentError, Infertile
from evolve.genome import digest
from evolve.score import G, Objective, Record
from evolve.search.generations import PARENT, Generations, Slot
from evolve.search.promotion import by_mean, ranking
from evolve.search.protocol import PROMOTION, Proposal
from evolve.variation import Operator, offspring

TRIES = 16  # draws in vain for each birth, before a twin is let through


class Screen(Protocol[G]):
    """Chooses among children before they are scored; see `surrogate`."""

    @property
    def pool(self) -> int:
        """How many children are drawn for each that is scored."""
        ...

    def learn(self, records: Sequence[Record[G]]) -> None:
        """Take in told records."""
        ...

    def choose(self, children: Sequence[G], n: int, rng: np.random.Generator) -> Sequence[int]:
        """The indices of at most `n` of them; changes nothing."""
        ...


class Staged(Generic[G]):
    """`offspring` children of one parent a generation, thinned out over the rungs.

    survivors: how many leave each stage, the last is 1; stages are as many. founders: the best
    of them is the first parent. operators: of one parent, sharing the children by `weights`.
    fresh, start, screens: as in `Generations`, which says how many rungs and births are used.
    paired: stages rank by paired statistics over samples (`promotion.ranking`), else by mean
    alone. screen: a recipe for what chooses among `pool` times as many children.

    A score that failed loses. Raises `ExperimentError` for parts that do not fit.
    """

    def __init__(
        self,
        *,
        founders: Sequence[G],
        operators: Sequence[Operator[G]],
        objective: Objective,
        offspring: int,
        survivors: Sequence[int] = (1,),
        fresh: bool = False,
        start: bool = False,
        paired: bool = False,
        weights: Sequence[float] | None = None,
        screen: Callable[[], Screen[G]] | None = None,
        screens: int = 0,
    ) -> None:
        if not founders or not operators:
            raise ExperimentError("Staged needs at least one founder and one operator.")
        for operator in operators:
            if operator.arity != 1 or operator.needs is not None:
                raise ExperimentError(
                    f"Staged has one parent and varies in the driver; {operator.name!r} takes "
                    f"{operator.arity} parents or has needs: give mutations without."
                )
        numbers = (offspring, *survivors)
        if not survivors or survivors[-1] != 1 or list(numbers) != sorted(numbers, reverse=True):
            raise ExperimentError(
                f"Staged got {offspring} offspring and the survivors {tuple(survivors)}; give "
                "numbers that never grow and end with 1, such as 16 and (4, 1)."
            )
        shares = np.ones(len(operators)) if weights is None else np.asarray(weights, np.float64)
        if shares.shape != (len(operators),) or not (shares >= 0).all() or not shares.sum() > 0:
            raise ExperimentError(
                f"Staged.weights is {weights} for {len(operators)} operators; give one number "
                ">= 0 each, not all zero."
            )
        self.founders = tuple(founders)
        self.operators = tuple(operators)
        self.objective = objective
        self.layout = Generations(
            len(founders), offspring, tuple(survivors), fresh, start, screens
        )
        self.paired = paired
        self._shares = shares / shares.sum()
        self._screen = None if screen is None else screen()
        self._n_told = 0
        self._cohort: list[Record[G]] = []  # told, of the stage that is under way
        self._parent: Record[G] | None = None
        self._rising: list[Record[G]] = []  # what the next stage scores
        self._known: set[str] = set()  # digests told; stays empty where samples are fresh
        self._seed = 0  # of this generation's children
        self._children: list[Proposal[G]] | None = None  # drawn when first asked for

    def seen(self, birth: int) -> int:
        return self.layout.at(birth).seen

    def ask(self, birth: int, rng: np.random.Generator) -> Proposal[G]:
        slot = self.layout.at(birth)
        if slot.generation < 0:
            return Proposal(self.founders[slot.place], rung=slot.rung)
        parent = self._parent
        assert parent is not None, "founders are told before a generation begins"
        if slot.place != PARENT and slot.stage == 0:
            if self._children is None:
                self._children = self._drawn(parent)
            child = self._children[slot.place]
            return Proposal(child.genome, child.parents, child.operator, slot.rung)
        record = parent if slot.place == PARENT else self._rising[slot.place]
        return Proposal(record.genome, (record.birth,), PROMOTION, slot.rung)

    def tell(self, record: Record[G], rng: np.random.Generator) -> None:
        self._n_told += 1
        self._cohort.append(record)
        slot = self.layout.at(self._n_told - 1)
        if self._n_told == slot.stop:
            self._settle(slot, rng)

    @property
    def elites(self) -> Sequence[Record[G]]:
        """The parent, or a record of the last stage's rung that beats it; feasible ones."""
        held = [] if self._parent is None else [self._parent]
        last = {self.layout.at(each.birth).stage for each in self._cohort}
        if not held or last == {len(self.layout.survivors) - 1}:
            held += self._cohort
        fine = [each for each in held if each.score.error is None and not each.score.violation]
        return [fine[i] for i in by_mean(fine, self.objective)[:1]]

    def _settle(self, slot: Slot, rng: np.random.Generator) -> None:
        """End a stage: who goes on, or who is the next parent."""
        cohort, self._cohort = self._cohort, []
        if not self.layout.fresh:
            self._known.update(record.digest for record in cohort)
        if self._screen is not None:
            self._screen.learn(cohort)
        if slot.generation >= 0:
            parents = [r for r in cohort if self.layout.at(r.birth).place == PARENT]
            self._parent = parents[0] if parents else self._parent
            cohort = [r for r in cohort if r not in parents]
        order = self._ranked(cohort)
        if slot.generation >= 0 and slot.stage < len(self.layout.survivors) - 1:
            self._rising = [cohort[i] for i in order[: self.layout.survivors[slot.stage]]]
            return
        best = cohort[order[0]]
        if slot.generation >= 0 and self._parent is not None:
            pair = [self._parent, best]
            best = pair[self._ranked(pair)[0]]
        self._parent, self._children = best, None
        self._seed = int(rng.integers(2**63 - 1))

    def _ranked(self, records: Sequence[Record[G]]) -> list[int]:
        one = self.objective
        return ranking(records, [one]) if self.paired else by_mean(records, one)

    def _drawn(self, parent: Record[G]) -> list[Proposal[G]]:
        """The children of `parent`, distinct and new as far as such can be had."""
        rng = np.random.default_rng(self._seed)
        n = self.layout.offspring
        wanted = n if self._screen is None else n * self._screen.pool
        new: dict[str, Proposal[G]] = {}
        twins: list[Proposal[G]] = []
        tries = wanted + TRIES * n
        for _ in range(tries):
            operator = self.operators[int(rng.choice(len(self.operators), p=self._shares))]
            try:
                made = offspring(operator.vary([parent], rng))
            except Infertile:
                continue
            child = Proposal(made.genome, (parent.birth,), operator.name, facts=made.facts)
            name = digest(made.genome)
            if name in new or name in self._known or name == parent.digest:
                twins = [*twins, child][:n]
            else:
                new[name] = child
            if len(new) == wanted:
                break
        children = list(new.values())
        if self._screen is not None and len(children) > n:
            genomes = [child.genome for child in children]
            children = [children[i] for i in self._screen.choose(genomes, n, rng)]
        children = (children + twins)[:n]
        if not children:
            names = ", ".join(operator.name for operator in self.operators)
            raise ExperimentError(
                f"No child of birth {parent.birth} in {tries} tries: every operator "
                f"({names}) was infertile; check that the operators fit this kind of genome."
            )
        return [children[i % len(children)] for i in range(n)]
