"""A run on a screen that redraws itself, beside the driver. Knows what `progress` reads.

The ledger does not say which worker has a birth now, only who ended one: births in flight and
workers are therefore two tables.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolve.report.progress import Flight, Follower, Progress
from evolve.report.show import ATTEMPTS, attempt_rows, table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

EVERY = 2.0  # seconds between screens
SHARE = 10  # at most one part in so many of the time is spent on looking
ROWS = 10  # of workers and of births in flight
SILENT = 20.0  # seconds; a driver's heartbeat is faster


def watch(path: Path, console: Console, every: float = EVERY) -> None:
    """Redraw the run in `path` until it is finished or Ctrl-C; without a terminal, draw once."""
    from rich.live import Live

    follower = Follower(path)
    if not console.is_terminal:
        console.print(screen(follower.look(), path))
        return
    try:
        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                begun = time.monotonic()
                progress = follower.look()
                live.update(screen(progress, path), refresh=True)
                if progress.finished and progress.read == progress.told:
                    return
                time.sleep(max(every, SHARE * (time.monotonic() - begun)))
    except KeyboardInterrupt:
        return


def screen(p: Progress, path: Path) -> RenderableType:
    """One look, to be printed."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=max(1, p.births), completed=p.told, width=24),
        Text(f"{p.told} of {p.births} births told{_pace(p)}"),
    )
    lost = p.fenced or p.quarantined
    tables = [
        table("attempts", ATTEMPTS, attempt_rows(p.outcomes, p.facts.get("policy")), frame=False)
    ]
    if p.workers:
        tables.append(_workers(p))
    if p.flights:
        tables.append(_flights(p))
    return Group(
        Text.assemble((str(p.facts["name"]), "bold"), f" in {path}"),
        bar,
        Text(_driver(p), style="" if p.finished or p.quiet < SILENT else "red"),
        Text(_best(p)),
        Text(_losses(p), style="yellow" if lost else ""),
        Text(),
        Columns(tables, padding=(1, 2)),
    )


def _pace(p: Progress) -> str:
    if p.finished:
        return ""
    pace = f", {p.written - p.told} begun"
    if p.rate:
        pace += f", {p.rate:.3g}/s"
    if p.left is not None:
        pace += f", {lasting(p.left)} left"
    return pace


def _driver(p: Progress) -> str:
    again = "" if p.epoch <= 1 else f", begun again {_times(p.epoch - 1)}"
    if p.finished:
        return f"finished{again}"
    if p.quiet < SILENT:
        return f"driver at work{again}"
    return f"no sign of a driver for {lasting(p.quiet)}{again}; evolve resume goes on"


def _best(p: Progress) -> str:
    part = f" of the first {p.read} births" if p.read < p.told else ""
    if not p.front.records:
        return f"front{part}: nothing feasible yet"
    words = f"front{part}: {len(p.front)}, knee birth {p.front.knee().birth}"
    for i, objective in enumerate(p.front.objectives):
        best = p.front.best(objective.name)
        unit = f" {objective.unit}" if objective.unit else ""
        words += f", best {objective.name} {best.score.values[i]:.4g}{unit} (birth {best.birth})"
    return words


def _losses(p: Progress) -> str:
    kinds = ", ".join(f"{n} {kind}" for kind, n in p.failed.items())
    failed = f"births failed: {sum(p.failed.values())}" + (f" ({kinds})" if kinds else "")
    return f"{failed}; genomes in quarantine: {p.quarantined}; late results fenced: {p.fenced}"


def _workers(p: Progress) -> Any:
    # With many workers, those that failed most are the ones to be seen.
    shown = p.workers
    if len(shown) > ROWS:
        shown = tuple(sorted(shown, key=lambda each: -each.failed)[:ROWS])
    more = len(p.workers) - len(shown)
    title = f"workers lately: {len(p.workers)}" + (f", {more} not shown" if more else "")
    rows = [
        [w.worker, str(w.ended), str(w.failed), f"{min(1.0, w.busy):.0%}",
         w.last, lasting(w.ago)]
        for w in shown
    ]  # fmt: skip
    return table(title, ["", "ended", "failed", "busy", "last", "ago"], rows, frame=False)


def _flights(p: Progress) -> Any:
    shown: tuple[Flight, ...] = p.flights[:ROWS]
    more = len(p.flights) - len(shown)
    title = f"in flight: {len(p.flights)}" + (f", the oldest {ROWS}" if more else "")
    rows = [[str(f.birth), str(f.attempt), f.stage, lasting(f.seconds)] for f in shown]
    return table(title, ["birth", "attempt", "stage", "for"], rows, frame=False)


def lasting(seconds: float) -> str:
    """`seconds` in the unit that people would use."""
    if seconds < 100:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 6_000:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3_600:
        return f"{seconds / 3_600:.1f} h"
    return f"{seconds / 86_400:.1f} days"


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"
