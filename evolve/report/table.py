"""The final table: each row's test scores, and its paired difference to the knee.

Knows rows of scores, not genomes. The standard error is that of the mean difference over test
samples, objective by objective, then of the mean over objectives (samples of different
objectives are independent): se = sqrt(sum_i var_i / n_i) / m.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evolve.score import Objective, Score
from evolve.store.run import FinalRow


@dataclass(frozen=True)
class Difference:
    """Mean of a row minus mean of the knee; its paired standard error, None below two samples."""

    mean: float
    error: float | None


def difference(row: Score, knee: Score) -> Difference:
    """How much `row`'s mean objective lies above `knee`'s, in their common unit."""
    mean = float(np.mean(row.values) - np.mean(knee.values))
    if row.samples is None or knee.samples is None or any(len(s) < 2 for s in row.samples):
        return Difference(mean, None)
    terms = []
    for ours, theirs in zip(row.samples, knee.samples, strict=True):
        gaps = ours.astype(np.float64) - theirs.astype(np.float64)
        terms.append(gaps.var(ddof=1) / len(gaps))
    return Difference(mean, math.sqrt(sum(terms)) / len(terms))


def comparable(objectives: Sequence[Objective]) -> bool:
    """Whether a mean over objectives means something: one unit, one direction."""
    return len({(objective.unit, objective.maximise) for objective in objectives}) == 1


def number(value: float) -> str:
    """`value` for people: large counts whole, all else with four decimals."""
    return f"{value:.0f}" if abs(value) >= 100 and value == round(value) else f"{value:.4f}"


def header(objectives: Sequence[Objective]) -> list[str]:
    """The column titles of `cells`."""
    names = [objective.name for objective in objectives]
    return ["", *names] + (["mean", "mean − knee (± s.e.)"] if comparable(objectives) else [])


def cells(row: FinalRow, knee: Score | None, objectives: Sequence[Objective]) -> list[str]:
    """One row as text: name, test value of each objective, mean, difference to the knee."""
    if row.test.error is not None:
        return [row.name, f"failed: {row.test.error}"]
    found = [row.name, *map(number, row.test.values)]
    if comparable(objectives):
        found.append(f"{float(np.mean(row.test.values)):.4f}")
        found.append("" if knee is None or _is_knee(row) else _gap(difference(row.test, knee)))
    return found


def markdown(rows: Sequence[FinalRow], objectives: Sequence[Objective]) -> str:
    """The final table as a Markdown table."""
    knee = knee_of(rows)
    titles = header(objectives)
    lines = [titles, ["---"] * len(titles), *(cells(row, knee, objectives) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def knee_of(rows: Sequence[FinalRow]) -> Score | None:
    """The knee's test score, if it has one."""
    found = [row.test for row in rows if _is_knee(row) and row.test.error is None]
    return found[0] if found else None


def _is_knee(row: FinalRow) -> bool:
    return (row.role, row.name) == ("pick", "knee")


def _gap(gap: Difference) -> str:
    return f"{gap.mean:+.4f}" + ("" if gap.error is None else f" ± {gap.error:.4f}")
