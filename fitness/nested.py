"""Scores on nested samples: those of the rung below, and those that are new. Knows no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from evolve.score import Score

T = TypeVar("T")
Scoring = Callable[[Sequence[T]], list[Score]]


def extended(
    genomes: Sequence[T],
    known: Sequence[Score | None],
    whole: Scoring[T],
    rest: Scoring[T],
    joined: Callable[[Score, Score], Score],
) -> list[Score]:
    """`whole` of the genomes of which nothing is known, `rest` of the others, `joined` to that.

    A rest that failed is the score.
    """
    new = [i for i, score in enumerate(known) if score is None]
    old = [i for i, score in enumerate(known) if score is not None]
    scores = dict(zip(new, whole([genomes[i] for i in new]) if new else [], strict=True))
    for i, score in zip(old, rest([genomes[i] for i in old]) if old else [], strict=True):
        low = known[i]
        assert low is not None
        scores[i] = score if score.error is not None else joined(low, score)
    return [scores[i] for i in range(len(genomes))]


def both(low: Score, high: Score) -> tuple[tuple[np.ndarray, ...], float]:
    """The samples of each objective, the lower rung's first; and how large a share those are."""
    assert low.samples is not None, "nested scores have samples"
    assert high.samples is not None, "nested scores have samples"
    pairs = list(zip(low.samples, high.samples, strict=True))
    few, more = map(len, pairs[0])
    return tuple(np.concatenate(pair) for pair in pairs), few / (few + more)
