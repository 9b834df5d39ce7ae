"""Which of two texts is better: judges, and Elo ratings from their verdicts.

Ratings: Elo 1978, "The Rating of Chessplayers"; tournaments of ideas: the AI co-scientist
(Gottweis et al. 2025). A judge may be a language model or a number; knows no genome.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from evolve.chat import Chat, Message
from evolve.genomes.program.answer import spoken
from operators.llm.wording import filled

START = 1200.0  # everyone's rating before the first match


class Judge(Protocol):
    """Compares two texts."""

    def prefers(self, a: str, b: str, rng: np.random.Generator) -> float:
        """1 if `a` is better, 0 if `b` is, 0.5 if neither is."""
        ...


@dataclass(frozen=True)
class LanguageJudge:
    """A language model, asked `question` about both orders of two texts: each order once.

    Verdicts that contradict each other, as of a judge who likes what stands first, cancel out to
    0.5; so do answers without a verdict.
    """

    chat: Chat
    question: str
    temperature: float = 0.2

    def at(self, folder: Path) -> Self:
        return replace(self, chat=self.chat.at(folder))

    def prefers(self, a: str, b: str, rng: np.random.Generator) -> float:
        sample = int(rng.integers(2**31))
        leaning = self._first_is_better(a, b, sample) - self._first_is_better(b, a, sample)
        return 0.5 + 0.5 * float(np.sign(leaning))

    def _first_is_better(self, first: str, second: str, sample: int) -> float:
        parts = {"question": self.question, "first": first, "second": second}
        messages = [Message("user", filled("judge", parts))]
        reply = self.chat.ask(messages, sample=sample, temperature=self.temperature)
        return verdict(reply.text)


@dataclass(frozen=True)
class MetricJudge:
    """A number for each text: the larger is better. NaN is worse than all."""

    function: Callable[[str], float]

    def prefers(self, a: str, b: str, rng: np.random.Generator) -> float:
        ours, theirs = (float(np.nan_to_num(self.function(x), nan=-np.inf)) for x in (a, b))
        return 0.5 if ours == theirs else float(ours > theirs)


def verdict(answer: str) -> float:
    """1 if the last line names candidate 1, 0 if 2, else 0.5."""
    lines = [line for line in spoken(answer).splitlines() if line.strip()]
    named = set(re.findall(r"\b[012]\b", lines[-1])) if lines else set()
    return {frozenset("1"): 1.0, frozenset("2"): 0.0}.get(frozenset(named), 0.5)


def elo(n: int, matches: Sequence[tuple[int, int, float]], k: float = 32.0) -> tuple[float, ...]:
    """Ratings of `n` players after `matches` (i, j, result for i), in their order.

    Expected result of i: 1 / (1 + 10^((r_j - r_i) / 400)); a match moves both by k times what it
    was off, so that the sum stays.
    """
    ratings = [START] * n
    for i, j, result in matches:
        expected = 1.0 / (1.0 + 10.0 ** ((ratings[j] - ratings[i]) / 400.0))
        ratings[i] += k * (result - expected)
        ratings[j] -= k * (result - expected)
    return tuple(ratings)


def tournament(
    items: Sequence[str], judge: Judge, rng: np.random.Generator, rounds: int
) -> tuple[float, ...]:
    """Ratings of `items` after `rounds` of random pairs."""
    return elo(len(items), paired(items, judge, rng, rounds))


def paired(
    items: Sequence[str], judge: Judge, rng: np.random.Generator, rounds: int
) -> list[tuple[int, int, float]]:
    """The matches of `rounds` in which all are paired at random; of an odd number one rests."""
    matches: list[tuple[int, int, float]] = []
    for _ in range(rounds):
        order = [int(i) for i in rng.permutation(len(items))]
        for i, j in zip(order[::2], order[1::2]):
            matches.append((i, j, judge.prefers(items[i], items[j], rng)))
    return matches
