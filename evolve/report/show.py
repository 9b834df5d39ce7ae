"""A run as text for people and as JSON for programs. Knows what is stored, not how it was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from evolve.report.table import cells, header, knee_of
from evolve.score import Record
from evolve.store.run import Run

if TYPE_CHECKING:
    from rich.console import Console


ROWS = 12  # of a table that has no end of its own


def as_json(run: Run[Any]) -> dict[str, Any]:
    """Everything `show` prints, as plain data."""
    names = [objective.name for objective in run.objectives]
    return {
        "path": str(run.path),
        "facts": dict(run.facts),
        "told": len(run.records),
        "digest": run.digest,
        "front": [_plain(record, names) for record in run.front],
        "best": {name: run.best(name).birth for name in names} if run.front else {},
        "knee": run.knee().birth if run.front else None,
        "operators": credit(run),
        "failures": failures(run.records),
        "attempts": dict(run.outcomes),
        "final": [
            {
                "name": row.name,
                "role": row.role,
                "birth": row.birth,
                "validation": dict(zip(names, row.validation.values)),
                "test": dict(zip(names, row.test.values)),
            }
            for row in run.final
        ],
    }


def credit(run: Run[Any]) -> dict[str, dict[str, int]]:
    """Per operator: births told, failed, and living on the front now."""
    born = Counter(record.operator for record in run.records)
    failed = Counter(r.operator for r in run.records if r.score.error is not None)
    front = Counter(record.operator for record in run.front)
    return {
        name: {"births": n, "failed": failed[name], "on the front": front[name]}
        for name, n in born.most_common()
    }


def failures(records: Sequence[Record[Any]]) -> dict[str, int]:
    """How many records failed in which way: kind and last line."""
    return dict(Counter(r.score.error for r in records if r.score.error is not None).most_common())


def show(run: Run[Any], console: Console) -> None:
    """Print the run: where it stands, front, best, operators' credit, failures, final table."""
    from rich.markup import escape

    facts = run.facts
    console.print(f"[bold]{escape(str(facts['name']))}[/bold] in {escape(str(run.path))}")
    state = "finished" if "finished" in facts else "not finished"
    console.print(
        f"{len(run.records)} of {facts['births']} births told, {state}; seed {facts['seed']}, "
        f"{facts['order']}, window {facts['window']}; digest {run.digest[:16]}"
    )
    if run.front:
        _print_front(run, console)
    _print(console, "operators", ["", "births", "failed", "on the front"],
           [[name, *map(str, row.values())] for name, row in credit(run).items()])  # fmt: skip
    lost = failures(run.records)
    if lost:
        rows = [[str(n), text] for text, n in list(lost.items())[:ROWS]]
        if rare := list(lost.values())[ROWS:]:
            rows.append([str(sum(rare)), f"{len(rare)} other reasons"])
        _print(console, "failures", ["births", "why"], rows)
    if run.final:
        show_final(run, console)


def show_final(run: Run[Any], console: Console) -> None:
    """Print the final table."""
    knee = knee_of(run.final)
    rows = [cells(row, knee, run.objectives) for row in run.final]
    _print(console, "sealed test split", header(run.objectives), rows)


def _print_front(run: Run[Any], console: Console) -> None:
    marks: dict[int, str] = {run.knee().birth: "knee"}
    for objective in run.objectives:
        birth = run.best(objective.name).birth
        marks[birth] = f"{marks[birth]}, " if birth in marks else ""
        marks[birth] += f"best {objective.name}"
    titles = ["birth", "operator", *(objective.name for objective in run.objectives), ""]
    shown = sorted(run.front, key=lambda record: (record.birth not in marks, record.birth))[:ROWS]
    rows = [
        [str(r.birth), r.operator, *(f"{v:.4f}" for v in r.score.values), marks.get(r.birth, "")]
        for r in shown
    ]
    more = len(run.front) - len(shown)
    title = f"front: {len(run.front)} records" + (f", {more} not shown" if more else "")
    _print(console, title, titles, rows)


def _print(
    console: Console, title: str, titles: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold")
    for i, name in enumerate(titles):
        table.add_column(escape(name), justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def _plain(record: Record[Any], names: Sequence[str]) -> dict[str, Any]:
    return {
        "birth": record.birth,
        "digest": record.digest,
        "operator": record.operator,
        "parents": list(record.parents),
        "values": dict(zip(names, record.score.values)),
        "metrics": {k: v if isfinite(v) else None for k, v in record.score.metrics.items()},
    }
