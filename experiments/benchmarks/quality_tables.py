"""The quality benchmark's runs as Markdown: a table a number of objectives. Makes no run.

Medians are called *within* where the 90 % bootstrap interval of their ratio lies within the
margin of 1, else *better* or *worse* (for us) where it lies on one side of 1, else *open*. Tails:
runs with an IGD above 1.05 times the pooled median; Fisher's p is corrected by Holm over every
problem reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from experiments.benchmarks.runs_file import Run
from experiments.benchmarks.statistics_of_runs import (
    fisher,
    holm,
    in_tail,
    ratio_interval,
    verdict,
)

Cell = tuple[str, int]  # problem, objectives
_HEAD = (
    "| problem | generations | runs | IGD ours | pymoo | ratio [90 %] | | HV ours | pymoo "
    "| ratio [90 %] | | tail ours | pymoo | worst IGD ours | pymoo | p (Holm) |"
)


def margin(objectives: int) -> float:
    """How far from 1 a ratio of medians may lie: 2 %, and 5 % for 8 objectives."""
    return 0.05 if objectives >= 8 else 0.02


def tables(runs: Sequence[Run], ours: str = "ours", theirs: str = "pymoo") -> str:
    """Markdown tables and a line of totals; problems without runs of both sides are left out."""
    cells = {cell: (of(runs, cell, ours), of(runs, cell, theirs)) for cell in in_order(runs)}
    both = {cell: sides for cell, sides in cells.items() if all(sides)}
    if not both:
        return "no problem has runs of both sides yet"
    tails = {cell: in_tail(igd(a), igd(b)) for cell, (a, b) in both.items()}
    p_values = holm(
        [fisher(h, len(both[c][0]), k, len(both[c][1])) for c, (h, k) in tails.items()]
    )
    said: dict[str, Counter[str]] = {"IGD": Counter(), "HV": Counter()}
    lines: list[str] = []
    last = 0
    for (cell, (a, b)), p in zip(both.items(), p_values):
        name, m = cell
        if m != last:
            lines += ["", f"M = {m}, margin ± {margin(m):.0%}", "", _HEAD, "|---" * 16 + "|"]
            last = m
        judged_igd, igd_columns = _ratio(igd(a), igd(b), m, less_is_better=True)
        judged_hv, hv_columns = _ratio(hv(a), hv(b), m, less_is_better=False)
        said["IGD"][judged_igd] += 1
        said["HV"][judged_hv] += 1
        tail = " | ".join(f"{hits}/{len(side)}" for hits, side in zip(tails[cell], (a, b)))
        worst = f"{igd(a).max():.4g} | {igd(b).max():.4g}"
        count = f"{len(a)}" if len(a) == len(b) else f"{len(a)}, {len(b)}"
        lines.append(
            f"| {name} | {a[0].task.generations} | {count} | {igd_columns} | {hv_columns} "
            f"| {tail} | {worst} | {p:.2g} |"
        )
    totals = [f"{metric}: {_counted(counts)}" for metric, counts in said.items()]
    totals.append(f"tails that differ (Holm, 0.05): {sum(p <= 0.05 for p in p_values)}")
    totals.append(f"CPU: {sum(run.cpu_s for run in runs) / 60:.1f} min")
    return "\n".join([*lines[1:], "", "; ".join(totals)])


def in_order(runs: Sequence[Run]) -> list[Cell]:
    """The problems met, by objectives, then as they come."""
    return sorted(
        dict.fromkeys((r.task.problem, r.task.objectives) for r in runs), key=_objectives
    )


def of(runs: Sequence[Run], cell: Cell, side: str) -> list[Run]:
    """The runs of one problem on one side."""
    return [r for r in runs if (r.task.problem, r.task.objectives, r.task.side) == (*cell, side)]


def igd(runs: Sequence[Run]) -> np.ndarray:
    """(n,) of the runs."""
    return np.array([run.igd for run in runs])


def hv(runs: Sequence[Run]) -> np.ndarray:
    """(n,) of the runs."""
    return np.array([run.hv for run in runs])


def _ratio(a: np.ndarray, b: np.ndarray, m: int, less_is_better: bool) -> tuple[str, str]:
    """The verdict, and four columns: both medians, the ratio with its interval, the verdict."""
    ratio, low, high = ratio_interval(a, b)
    judged = verdict(low, high, margin(m), less_is_better)
    medians = f"{np.median(a):.4g} | {np.median(b):.4g}"
    return judged, f"{medians} | {ratio:.3f} [{low:.3f}, {high:.3f}] | {judged}"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[each]} {each}" for each in ("within", "better", "worse", "open"))


def _objectives(cell: Cell) -> int:
    return cell[1]
