"""How two sides' runs are compared: medians by the bootstrap, tails by Fisher and Holm.

Percentile bootstrap: Efron 1979. Exact test: Fisher 1922, two-sided by probability. Many tests
at once: Holm 1979. Knows numbers only; numpy alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

Verdict = Literal["within", "better", "worse", "open"]
_RESAMPLES = 10_000


def ratio_interval(
    ours: np.ndarray, theirs: np.ndarray, seed: int = 0
) -> tuple[float, float, float]:
    """(ratio, low, high): median(ours) / median(theirs) and its 90 % bootstrap interval.

    ours: (n,), theirs: (k,) float, not negative, drawn independently of each other. NaN thrice
    where their median is 0; high is infinite where over a twentieth of the resampled ones are.
    """
    if np.median(theirs) == 0:
        return math.nan, math.nan, math.nan
    rng = np.random.default_rng(seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = _medians(ours, rng) / _medians(theirs, rng)
    unknown = np.isnan(drawn)  # 0 / 0 could be anything: it widens the interval on both sides
    low = np.quantile(np.where(unknown, 0.0, drawn), 0.05, method="inverted_cdf")
    high = np.quantile(np.where(unknown, np.inf, drawn), 0.95, method="inverted_cdf")
    return float(np.median(ours) / np.median(theirs)), float(low), float(high)


def verdict(low: float, high: float, margin: float, less_is_better: bool) -> Verdict:
    """Where an interval of ratios lies: all within 1 ± margin, else all on one side of 1, or open.

    NaN is open.
    """
    if 1 - margin <= low and high <= 1 + margin:
        return "within"
    if high < 1:
        return "better" if less_is_better else "worse"
    if low > 1:
        return "worse" if less_is_better else "better"
    return "open"


def in_tail(ours: np.ndarray, theirs: np.ndarray, factor: float = 1.05) -> tuple[int, int]:
    """How many runs of each side lie above `factor` times the median of all runs."""
    limit = factor * np.median(np.concatenate([ours, theirs]))
    return int((ours > limit).sum()), int((theirs > limit).sum())


def fisher(hits: int, runs: int, other_hits: int, other_runs: int) -> float:
    """Two-sided p of hits / runs against other_hits / other_runs being one rate.

    The probability, with all four margins fixed, of tables no likelier than this one.
    """
    total, drawn = runs + other_runs, hits + other_hits
    possible = range(max(0, drawn - other_runs), min(runs, drawn) + 1)
    ways = {a: math.comb(runs, a) * math.comb(other_runs, drawn - a) for a in possible}
    return sum(way for way in ways.values() if way <= ways[hits]) / math.comb(total, drawn)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for their number, in the order given: reject those at most alpha."""
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for step, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - step) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def _medians(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(resamples,) medians of `values` drawn with replacement."""
    picks = rng.integers(len(values), size=(_RESAMPLES, len(values)))
    medians: np.ndarray = np.median(values[picks], axis=1)
    return medians
