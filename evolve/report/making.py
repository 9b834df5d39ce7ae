"""How children were made, by the facts of their births: what a language model was asked and said.

Reads the facts `tokens_in`, `tokens_out`, `estimated`, `repaired`, `principle` and `copied`; knows
no operator and no chat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evolve.score import Record

PRINCIPLES = 8  # the newest that are shown


def spending(records: Sequence[Record[Any]]) -> dict[str, dict[str, int]]:
    """Per operator that asked a language model: births, tokens, repaired answers, copies."""
    made: dict[str, dict[str, int]] = {}
    for record in records:
        facts: Mapping[str, Any] = record.facts
        if "tokens_in" in facts:
            row = made.setdefault(record.operator, _row())
            row["births"] += 1
            row["tokens in"] += int(facts["tokens_in"])
            row["tokens out"] += int(facts["tokens_out"])
            row["estimated"] += bool(facts.get("estimated"))
            row["repaired"] += "repaired" in facts
            row["refused"] += "copied" in facts
    return dict(sorted(made.items()))


def principles(records: Sequence[Record[Any]]) -> list[tuple[int, str]]:
    """(birth, principle) of each child that an evolved thought led to."""
    return [
        (record.birth, str(record.facts["principle"]))
        for record in records
        if "principle" in record.facts
    ]


def repairs(records: Sequence[Record[Any]]) -> list[tuple[int, str]]:
    """(birth, why the first answer was refused) of each child whose answer was repaired."""
    return [
        (record.birth, str(record.facts["repaired"]))
        for record in records
        if "repaired" in record.facts
    ]


def reasons(refusals: Mapping[tuple[str, str], int]) -> list[dict[str, str | int]]:
    """Why operators found no child, most often first, as plain data."""
    return [
        {"operator": operator, "reason": reason, "times": n}
        for (operator, reason), n in refusals.items()
    ]


def _row() -> dict[str, int]:
    names = ("births", "tokens in", "tokens out", "estimated", "repaired", "refused")
    return dict.fromkeys(names, 0)
