"""The CSV of finished runs: one line each, written at once, the rest never touched.

Knows no problem and no statistic. A line torn by a kill is cut off before the next is written,
and that run is made again.
"""

from __future__ import annotations

import csv
import io
from dataclasses import astuple, dataclass
from pathlib import Path

_HEADER = ("problem", "M", "side", "seed", "generations", "IGD", "HV", "CPU seconds")


@dataclass(frozen=True)
class Task:
    """One run to make: `generations` populations, the first random one among them."""

    problem: str
    objectives: int
    side: str
    seed: int
    generations: int


@dataclass(frozen=True)
class Run:
    """A finished run: its metrics, and the CPU seconds of its generations."""

    task: Task
    igd: float
    hv: float
    cpu_s: float


def read(path: Path) -> list[Run]:
    """The finished runs, in the order in which they ended; none if there is no file."""
    if not path.exists():
        return []
    return [_parsed(row) for row in csv.reader(io.StringIO(_whole(path))) if row[0] != "problem"]


def append(path: Path, run: Run) -> None:
    """Write one more line, whole, and the header before the first."""
    kept = _whole(path) if path.exists() else ""
    if path.exists() and len(kept.encode()) < path.stat().st_size:
        path.write_text(kept, encoding="utf-8")
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    if not kept:
        writer.writerow(_HEADER)
    writer.writerow((*astuple(run.task), f"{run.igd:.8g}", f"{run.hv:.8g}", f"{run.cpu_s:.3f}"))
    with path.open("a", encoding="utf-8") as file:
        file.write(lines.getvalue())


def _whole(path: Path) -> str:
    """The file up to its last end of line."""
    text = path.read_text(encoding="utf-8")
    return text[: text.rfind("\n") + 1]


def _parsed(row: list[str]) -> Run:
    problem, objectives, side, seed, generations, igd, hv, cpu_s = row
    task = Task(problem, int(objectives), side, int(seed), int(generations))
    return Run(task, float(igd), float(hv), float(cpu_s))
