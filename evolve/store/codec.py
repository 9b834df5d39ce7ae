"""Scores as JSON text and back; arrays are replaced by their keys in the vault."""

from __future__ import annotations

import json
from typing import Any

from evolve.score import Score
from evolve.store.vault import Vault


def encode(score: Score, vault: Vault) -> str:
    """`score` as JSON; its samples and heritage are put into `vault` first."""
    document: dict[str, Any] = {"values": [float(value) for value in score.values]}
    if score.violation:
        document["violation"] = float(score.violation)
    if score.measures:
        document["measures"] = [float(value) for value in score.measures]
    if score.metrics:
        document["metrics"] = {name: float(value) for name, value in score.metrics.items()}
    if score.notes:
        document["notes"] = dict(score.notes)
    if score.samples is not None:
        document["samples"] = vault.put({f"{i:04d}": s for i, s in enumerate(score.samples)})
    if score.heritage is not None:
        document["heritage"] = vault.put(score.heritage)
    if score.error is not None:
        document["error"] = score.error
    return json.dumps(document)


def decode(text: str, vault: Vault) -> Score:
    """The score that `text` came from; heritage is read at first use."""
    document: dict[str, Any] = json.loads(text)
    samples = heritage = None
    if "samples" in document:
        arrays = vault.get(document["samples"])
        samples = tuple(arrays[name] for name in sorted(arrays))
    if "heritage" in document:
        heritage = vault.lazy(document["heritage"])
    return Score(
        values=tuple(document["values"]),
        violation=document.get("violation", 0.0),
        measures=tuple(document.get("measures", ())),
        metrics=document.get("metrics", {}),
        notes=document.get("notes", {}),
        samples=samples,
        heritage=heritage,
        error=document.get("error"),
    )
