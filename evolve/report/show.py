"""A run as text for people and as JSON for programs. Knows what is stored, not how it was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from evolve.failure import Failure, is_poison
from evolve.report.making import PRINCIPLES, principles, reasons, repairs, spending
from evolve.report.table import cells, header, knee_of, number
from evolve.score import Record
from evolve.store.run import Run

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


ROWS = 12  # of a table that has no end of its own
ATTEMPTS = ("", "attempts", "a birth gets")  # the titles of `attempt_rows`


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
        "refusals": reasons(run.refusals),
        "language model": spending(run.records),
        "principles": [list(each) for each in principles(run.records)],
        "repairs": [list(each) for each in repairs(run.records)],
        "failures": failures(run.records),
        "outcomes": dict(run.outcomes),
        "policy": run.facts.get("policy"),
        "fenced": run.fenced,
        "quarantined": [
            {"birth": record.birth, "digest": record.digest, "error": record.score.error}
            for record in quarantined(run.records)
        ],
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


def quarantined(records: Sequence[Record[Any]]) -> list[Record[Any]]:
    """The first record of each genome that its workers did not survive."""
    first: dict[str, Record[Any]] = {}
    for record in records:
        if record.score.error is not None and is_poison(record.score.error):
            first.setdefault(record.digest, record)
    return list(first.values())


def attempt_rows(outcomes: Mapping[str, int], policy: Any) -> list[list[str]]:
    """(outcome, attempts, attempts that a birth gets): answers, then every kind of failure."""
    tries: Mapping[str, int] = policy or {}
    rows = [[name, str(n), ""] for name, n in outcomes.items() if name not in set(Failure)]
    for kind in Failure:
        n, most = outcomes.get(kind, 0), tries.get(kind.replace(" ", "_"))
        free = "free" if kind is Failure.DRIVER_LOST else ""
        if n or most is not None:
            rows.append([kind.value, str(n), free if most is None else str(most)])
    return rows


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
    _print_making(run, console)
    lost = failures(run.records)
    if lost:
        rows = [[str(n), text] for text, n in list(lost.items())[:ROWS]]
        if rare := list(lost.values())[ROWS:]:
            rows.append([str(sum(rare)), f"{len(rare)} other reasons"])
        _print(console, "failures", ["births", "why"], rows)
    if run.records or run.outcomes:
        rows = attempt_rows(run.outcomes, run.facts.get("policy"))
        _print(console, "how attempts ended", ATTEMPTS, rows)
    if run.fenced:
        console.print(f"Late results fenced: {run.fenced}; they changed nothing.")
    if poison := quarantined(run.records):
        births = ", ".join(str(record.birth) for record in poison[:ROWS])
        more = f" and {len(poison) - ROWS} more" if len(poison) > ROWS else ""
        console.print(f"Genomes in quarantine: {len(poison)} (births {births}{more}).")
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
        [str(r.birth), r.operator, *map(number, r.score.values), marks.get(r.birth, "")]
        for r in shown
    ]
    more = len(run.front) - len(shown)
    title = f"front: {len(run.front)} records" + (f", {more} not shown" if more else "")
    _print(console, title, titles, rows)


def _print_making(run: Run[Any], console: Console) -> None:
    """What a language model was asked and said, and why operators found no child."""
    if spent := spending(run.records):
        titles = ["", *next(iter(spent.values()))]
        rows = [[name, *map(str, row.values())] for name, row in spent.items()]
        _print(console, "language model", titles, rows)
    if thoughts := principles(run.records):
        rows = [[str(birth), words] for birth, words in thoughts[-PRINCIPLES:]]
        _print(console, f"principles: {len(thoughts)}", ["birth", "why a success helped"], rows)
    if mended := repairs(run.records):
        rows = [[str(birth), words] for birth, words in mended[-PRINCIPLES:]]
        _print(console, f"repaired answers: {len(mended)}", ["birth", "first refused for"], rows)
    if run.refusals:
        rows = [[str(n), who, why] for (who, why), n in list(run.refusals.items())[:ROWS]]
        _print(console, "no child", ["times", "operator", "why"], rows)


def _print(
    console: Console, title: str, titles: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    console.print(table(title, titles, rows))


def table(
    title: str, titles: Sequence[str], rows: Sequence[Sequence[str]], *, frame: bool = True
) -> Table:
    """A table of plain text; nothing in it is read as markup."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    lines = box.HEAVY_HEAD if frame else None
    made = Table(title=title, title_justify="left", title_style="bold", box=lines)
    for i, name in enumerate(titles):
        made.add_column(escape(name), justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        made.add_row(*map(escape, row))
    return made


def _plain(record: Record[Any], names: Sequence[str]) -> dict[str, Any]:
    return {
        "birth": record.birth,
        "digest": record.digest,
        "operator": record.operator,
        "parents": list(record.parents),
        "values": dict(zip(names, record.score.values)),
        "metrics": {k: v if isfinite(v) else None for k, v in record.score.metrics.items()},
    }
