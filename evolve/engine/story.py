"""The sections of a model card that a run can tell: scores, lineage, fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evolve.score import Record, Score
from evolve.store.run import Run


def story(run: Run[Any], record: Record[Any]) -> Mapping[str, str]:
    """Markdown sections by title, for `record` of `run`."""
    return {
        "Scores": _scores(run, record),
        "Lineage": _lineage(run, record),
        "Experiment": _fingerprint(run),
    }


def _scores(run: Run[Any], record: Record[Any]) -> str:
    rows = {row.digest: row for row in run.final}
    tested = rows[record.digest].test if record.digest in rows else None
    lines = ["| objective | validation | test |", "|---|---|---|"]
    for i, objective in enumerate(run.objectives):
        unit = f" ({objective.unit})" if objective.unit else ""
        lines.append(
            f"| {objective.name}{unit} | {_value(record.score, i)} | {_value(tested, i)} |"
        )
    return "\n".join(lines)


def _value(score: Score | None, i: int) -> str:
    return "–" if score is None or score.error is not None else f"{score.values[i]:.6g}"


def _lineage(run: Run[Any], record: Record[Any]) -> str:
    """Every ancestor, from the record back to founders, latest first."""
    by_birth = {each.birth: each for each in run.records}
    lines, todo, seen = [], [record.birth], set()
    while todo:
        birth = max(todo)
        todo.remove(birth)
        if birth in seen or birth not in by_birth:
            continue
        seen.add(birth)
        each = by_birth[birth]
        values = ", ".join(f"{value:.4g}" for value in each.score.values) or each.score.error
        parents = ", ".join(str(parent) for parent in each.parents) or "none"
        told = _told(each.facts)
        lines.append(f"- birth {birth}: {each.operator}, parents {parents}, scores {values}{told}")
        todo.extend(each.parents)
    return "\n".join(lines)


def _told(facts: Mapping[str, Any]) -> str:
    """What its making is worth telling, as far as it is known."""
    names = ("change", "principle", "copied")
    return "".join(f"; {name}: {facts[name]}" for name in names if name in facts)


def _fingerprint(run: Run[Any]) -> str:
    facts = run.facts
    lines = [f"- {key}: {facts[key]}" for key in ("name", "seed", "births", "order", "window")]
    lines += [f"- code sha256: {facts['code_sha256']}", f"- commit: {facts['commit'] or 'none'}"]
    fingerprint = facts["fingerprint"]
    assert isinstance(fingerprint, Mapping)
    packages = fingerprint["packages"]
    assert isinstance(packages, Mapping)
    lines.append("- versions: " + ", ".join(f"{name} {v}" for name, v in packages.items()))
    return "\n".join([*lines, f"- ledger digest: {run.digest}"])
