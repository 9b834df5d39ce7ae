"""The card of an exported program: what it is, what changed, and what people must know of it.

Knows programs, scores and words; writes nothing, runs nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from evolve.export import card, retraining
from evolve.genomes.program.edits import changed_regions
from evolve.genomes.program.program import Program
from evolve.score import Objective, Record, Score

DIFF, WEIGHTS = "changes.diff", "weights.safetensors"
EVOLVED = (
    "This code was made by evolution, perhaps with a language model. The search ran it in a "
    "sandbox; imported elsewhere it runs with your rights. Read it first."
)


class Learned(NamedTuple):
    """`weights` by name, empty if there are none, and the `score` that they gave.

    `scratch`: the score without inherited tensors, for a program that has some.
    """

    weights: Mapping[str, np.ndarray]
    score: Score
    scratch: Score | None


def program_card(
    title: str,
    record: Record[Program],
    story: Mapping[str, str],
    learned: Learned,
    start: Program | None,
    objectives: Sequence[Objective] | None,
) -> str:
    """The whole README of `record`'s program; `objectives` where they are known."""
    program = record.genome
    names = ", ".join(f"`{path}`" for path in sorted(program.files))
    summary = (
        f"A program ({names}) found by evolutionary search (evolve): birth {record.birth}, genome "
        f"`{record.digest[:16]}`. It was scored without comments and docstrings, which change "
        "nothing else."
    )
    columns = [each.name for each in objectives or ()] or [
        f"value {i + 1}" for i in range(len(record.score.values))
    ]
    sections = {
        card.NOTES: card.points([EVOLVED, *_remarks(record, learned, columns)]),
        **story,
        "Changes": _changes(record, start),
        "Weights": _weights(record, learned, columns),
    }
    if program.inherited:
        sections["Inherited and from scratch"] = _both(record, learned, columns)
    sections["Isolation"] = record.score.notes.get("isolation", "The fitness states none.")
    sections["Retrain"] = _RETRAIN
    if use := _use(program, learned):
        sections["Use"] = use
    body = "\n\n".join(f"## {heading}\n\n{text.strip()}" for heading, text in sections.items())
    return f"---\ntags:\n- evolve\n---\n\n# {title}\n\n{summary}\n\n{body}\n"


def _remarks(record: Record[Program], learned: Learned, columns: Sequence[str]) -> list[str]:
    words = []
    if learned.weights and learned.score.values != record.score.values:
        words.append(
            f"`{WEIGHTS}` was trained anew and does not give the scores of the search in every "
            f"value: {_differing(record.score, learned.score, columns)}."
        )
    if record.genome.inherited:
        words.append(
            f"Its training began with tensors of a parent, trained for {record.genome.epochs} "
            f"epochs; `{retraining.SCRIPT}` and the from-scratch scores begin with none."
        )
    return words


def _differing(scored: Score, here: Score, columns: Sequence[str]) -> str:
    return ", ".join(
        f"{name} {mine:.6g}, scored {theirs:.6g}"
        for name, mine, theirs in zip(columns, here.values, scored.values)
        if mine != theirs
    )


def _changes(record: Record[Program], start: Program | None) -> str:
    if start is None:
        changed = "The start program is not known here, so there is no diff."
    elif regions := changed_regions(start, record.genome):
        names = ", ".join(f"`{name}`" for name in regions)
        changed = f"Against the start program, in {names}: `{DIFF}` (`patch -p1`)."
    elif start.files == record.genome.files:
        changed = "None: this is the start program."
    else:
        changed = f"Comments and formatting only: `{DIFF}`."
    told = [
        f"{name}: {' '.join(str(fact).split())}"
        for name, fact in record.facts.items()
        if isinstance(fact, str | int | float)
    ]
    last = f"\n\nThe last step was `{record.operator}`{':' if told else '.'}"
    return changed + last + ("\n\n" + card.points(told) if told else "")


def _weights(record: Record[Program], learned: Learned, columns: Sequence[str]) -> str:
    if not learned.weights:
        return "There are none in this directory: the search kept none for this program."
    elements = sum(array.size for array in learned.weights.values())
    what = f"`{WEIGHTS}`: {elements:,} elements in {len(learned.weights)} tensor(s). "
    if learned.score is record.score:
        return what + "They are the tensors that were scored on validation."
    if learned.score.values == record.score.values:
        return what + (
            "They were trained anew with the seed of the search and give its validation scores, "
            "to the bit."
        )
    return what + (
        "They were trained anew for this export. On validation: "
        f"{_differing(record.score, learned.score, columns)}."
    )


def _both(record: Record[Program], learned: Learned, columns: Sequence[str]) -> str:
    rows = [("inherited", record.score)]
    if learned.scratch is not None:
        rows.append(("from scratch", learned.scratch))
    metrics = [name for name in ("epochs", "samples") if name in record.score.metrics]
    table = card.table(
        ("validation", *columns, *(f"{name} in all" for name in metrics)),
        [
            (
                label,
                *(f"{value:.6g}" for value in score.values),
                *(
                    f"{score.metrics[name]:g}" if name in score.metrics else "–"
                    for name in metrics
                ),
            )
            for label, score in rows
        ],
    )
    if learned.scratch is None:
        return f"{table}\n\nFrom scratch it was not scored; `{retraining.SCRIPT}` does it."
    if any(learned.scratch.metrics.get(n) != record.score.metrics[n] for n in metrics):
        return f"{table}\n\nThe two did not have equal training, so they do not compare directly."
    return table


def _use(program: Program, learned: Learned) -> str:
    """How to load the weights; "" where no file defines `predict(weights, ...)`."""
    for path, text in program.normal.items():
        defined = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
        if not any(
            node.name == "predict" and [each.arg for each in node.args.args[:1]] == ["weights"]
            for node in defined
        ):
            continue
        module = ".".join(PurePosixPath(path).with_suffix("").parts)
        if learned.weights:
            return _USE.replace("MODULE", module)
    return ""


_RETRAIN = f"""```
python {retraining.SCRIPT}
```

trains the program from scratch in the sandbox of its experiment and prints what it scores on the
sealed test split beside the scores above. Those test scores are of a training of their own, with
another seed than the weights here."""
_USE = f"""```python
import sys
from safetensors.numpy import load_file

sys.path.insert(0, "{retraining.SOURCE}")  # of this directory
import MODULE as program

scores = program.predict(load_file("{WEIGHTS}"), inputs)
```"""
