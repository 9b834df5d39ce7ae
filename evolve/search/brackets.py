"""Brackets: which birth is which candidate at which rung. Knows no search but its `seen`.

A pure function of the birth. A bracket (Li et al. 2017, alg. 1) serves the next `winners` births
of the inner search (fewer where its `seen` would make it wait for itself, as at the end of a
generation) with winners * eta ** (rungs - 1 - start) candidates at rung `start`, and 1 / eta of
them at each rung after.

The rungs of all brackets stand in one queue. Its first is laid out as consecutive births; then
one more bracket joins the end, if the inner `seen` allows it and fewer than `brackets` are under
way; then the next rung of the bracket just laid out joins the end. So a promotion waits for its
own rung only, while births of other brackets fill the workers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """Consecutive births: one rung of one bracket."""

    index: int
    births: range
    rung: int
    inner: range  # the births of the inner search that the bracket serves
    source: int | None  # the block it is promoted from; None: new candidates
    seen: int  # records told before the first is asked


class Layout:
    """Which birth is what: blocks in order of birth, laid out as far as they are looked at.

    `seen` is the inner search's. The rule is at the top of this file.
    """

    def __init__(
        self,
        seen: Callable[[int], int],
        *,
        rungs: int,
        eta: int,
        winners: Sequence[int],
        starts: Sequence[int],
        brackets: int,
    ) -> None:
        self._seen = seen
        self._rungs = rungs
        self._eta = eta
        self._winners = tuple(winners)
        self._starts = tuple(starts)
        self._most = brackets
        self._blocks: list[Block] = []
        self._firsts: list[int] = []
        self._finals: list[int] = []  # births at the last rung: told to the inner search
        self._queue: deque[tuple[int, range, int | None]] = deque()  # rung, inner, source
        self._entered = 0  # brackets
        self._under_way = 0
        self._served = 0  # inner births of the brackets that entered
        self._enter()

    def at(self, birth: int) -> Block:
        """The block of `birth`."""
        while not self._blocks or birth >= self._blocks[-1].births.stop:
            self._grow()
        return self._blocks[bisect_right(self._firsts, birth) - 1]

    def block(self, index: int) -> Block:
        """Block number `index`."""
        while index >= len(self._blocks):
            self._grow()
        return self._blocks[index]

    def _grow(self) -> None:
        rung, inner, source = self._queue.popleft()
        first = self._blocks[-1].births.stop if self._blocks else 0
        births = range(first, first + len(inner) * self._eta ** (self._rungs - 1 - rung))
        if source is not None:
            due = self._blocks[source].births.stop
        else:
            told = self._seen(inner[-1])
            due = self._finals[told - 1] + 1 if told else 0
        due = max(due, self._blocks[-1].seen if self._blocks else 0)
        index = len(self._blocks)
        self._blocks.append(Block(index, births, rung, inner, source, due))
        self._firsts.append(first)
        if rung == self._rungs - 1:
            self._finals += births
            self._under_way -= 1
            self._enter()
        else:
            self._enter()
            self._queue.append((rung + 1, inner, index))

    def _enter(self) -> None:
        """Let the next bracket into the queue, if it may."""
        turn, first = self._entered % len(self._starts), self._served
        inner = range(first, first + 1)
        while len(inner) < self._winners[turn] and self._seen(inner.stop) <= first:
            inner = range(first, inner.stop + 1)
        if self._under_way >= self._most or self._seen(inner[-1]) > len(self._finals):
            return
        self._queue.append((self._starts[turn], inner, None))
        self._entered += 1
        self._under_way += 1
        self._served = inner.stop
