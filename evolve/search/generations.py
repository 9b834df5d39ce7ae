"""Generations of a (1 + lambda) search in stages: which birth is what. Pure arithmetic.

First the founders. Then each generation: the parent once more where it has to be, `offspring`
children at the first stage, survivors[s - 1] of them at stage s. All births of a stage are asked
together. Knows no search.
"""

from __future__ import annotations

from dataclasses import dataclass

PARENT = -1  # the place of the parent that is scored again


@dataclass(frozen=True)
class Slot:
    """What a birth is: of which generation (-1: a founder), stage and place in it."""

    generation: int
    stage: int
    place: int
    rung: int
    seen: int  # scores told before it is asked
    stop: int  # the first birth after those that are asked with it


@dataclass(frozen=True)
class Generations:
    """The layout of a search. survivors: how many leave each stage; the last is 1.

    fresh: every stage of every generation has a rung, so samples, of its own, and the parent is
    scored again in every generation; else stage s has rung s. start: the founders have rung 0 to
    themselves, the stages those above; else founders are scored at the first generation's last.
    screens: so many generations have a first stage with a rung, so samples, of its own, the last
    of them the later generations too; other stages have the rungs above those.
    """

    founders: int
    offspring: int
    survivors: tuple[int, ...]
    fresh: bool
    start: bool
    screens: int = 0

    def rung(self, generation: int, stage: int) -> int:
        """The rung of that stage in that generation."""
        if self.screens:
            own = min(generation, self.screens - 1)
            return self.start + (own if stage == 0 else self.screens - 1 + stage)
        step = generation * len(self.survivors) if self.fresh else 0
        return self.start + step + stage

    def rungs(self, generations: int) -> int:
        """How many rungs so many generations use: what the fitness must have."""
        return self.rung(generations - 1, len(self.survivors) - 1) + 1

    def births(self, generations: int) -> int:
        """How many births the founders and so many generations are."""
        return self._first(generations)

    def rescored(self, generation: int) -> bool:
        """Whether the parent is scored again in that generation."""
        return self.start if generation == 0 else self.fresh

    def at(self, birth: int) -> Slot:
        """What `birth` is."""
        last = len(self.survivors) - 1
        if birth < self.founders:
            rung = 0 if self.start else self.rung(0, last)
            return Slot(-1, 0, birth, rung, 0, self.founders)
        head, step = self._size(0), self._size(1)
        past = birth - self.founders
        generation = 0 if past < head else 1 + (past - head) // step
        first = self._first(generation)
        place = birth - first - self.rescored(generation)
        stop = first + self.rescored(generation) + self.offspring
        if place == PARENT:
            return Slot(generation, last, PARENT, self.rung(generation, last), first, stop)
        stage, seen, size = 0, first, self.offspring
        while place >= size:
            place -= size
            size = self.survivors[stage]
            stage, seen, stop = stage + 1, stop, stop + size
        return Slot(generation, stage, place, self.rung(generation, stage), seen, stop)

    def _size(self, generation: int) -> int:
        return self.rescored(generation) + self.offspring + sum(self.survivors[:-1])

    def _first(self, generation: int) -> int:
        if generation == 0:
            return self.founders
        return self.founders + self._size(0) + (generation - 1) * self._size(1)
