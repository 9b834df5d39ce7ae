"""The picture of a run: every scored birth, its front, founders, baselines and picks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evolve.errors import EvolveError
from evolve.report.front import Point, draw_front
from evolve.score import FOUNDER
from evolve.store.run import Run


def picture(run: Run[Any], path: Path) -> str:
    """Draw `run` on validation scores to `path` (PNG); says what was done, or why not."""
    if len(run.objectives) < 2 or not run.front:
        return "No picture: it takes two objectives or more, and a front."
    scored = [r for r in run.records if r.score.error is None and r.score.violation <= 0]
    front = {record.birth for record in run.front}
    children = [r for r in scored if r.operator != FOUNDER]
    points = [Point("", "scored", r.score.values) for r in children if r.birth not in front]
    points += [Point("", "front", r.score.values) for r in run.front]
    tested = [r for r in run.final if r.role == "baseline" and r.validation.error is None]
    founders = {r.digest: r.birth for r in scored if r.operator == FOUNDER}
    parents = {each: "" for each, birth in founders.items() if birth not in front}
    parents |= {row.digest: row.name for row in tested if row.digest in founders}
    values = {r.digest: r.score.values for r in scored}
    points += [Point(name, "founder", values[each]) for each, name in parents.items()]
    for row in tested:
        if row.digest not in parents:
            points.append(Point(row.name, "baseline", row.validation.values))
    for objective in run.objectives:
        best = run.best(objective.name)
        points.append(Point(f"best {objective.name}", "extreme", best.score.values))
    points.append(Point("knee", "knee", run.knee().score.values))
    try:
        draw_front(points, run.objectives, path)
    except (EvolveError, OSError) as error:
        return f"No picture: {error}"
    return f"The trade-off is drawn in {path}"
