"""Small finished runs for the tests of reports."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from evolve.failure import Policy, kind_of_error
from evolve.genome import digest
from evolve.genomes.vector import Vector
from evolve.score import Objective, Score
from evolve.search.protocol import Proposal
from evolve.store.ledger import Ledger
from evolve.store.run import Run
from tests.evolve.cases import FG, vector

PLAIN = [
    Score((0.0, 10.0), metrics={"size": 3.0, "perplexity": float("inf")}),
    Score((10.0, 0.0)),
    Score((2.0, 3.0)),
    Score((9.0, 9.0)),
    Score((-1.0, -1.0), violation=2.0),
    Score.failed("exception: ValueError: [/b] no [red]luck[/red]"),
]


def written(
    folder: Path,
    scores: Sequence[Score] = PLAIN,
    objectives: Sequence[Objective] = FG,
    final: bool = False,
    name: str = "test",
) -> Run[Vector]:
    """A run of `scores`: the first two are founders, the others children of an operator."""
    facts: dict[str, Any] = {
        "name": name, "births": len(scores), "seed": 0, "order": "ordered", "window": 8,
        "file": None, "objectives": [vars(objective) for objective in objectives],
        "policy": vars(Policy(timeout=7)),
    }  # fmt: skip
    with closing(Ledger.create(folder, facts)) as ledger:
        ledger.begin_epoch({})
        for birth, score in enumerate(scores):
            parents, operator = ((), "founder") if birth < 2 else ((0, 1), "[blend]")
            ledger.born(birth, Proposal(vector(birth / 10), parents, operator))
            attempt = ledger.dispatched(birth)
            kind = "scored" if score.error is None else kind_of_error(score.error).value
            ledger.ended(birth, attempt, ledger.epoch, kind, "w")
            ledger.scored(birth, score)
            ledger.committed(birth, birth)
        if final:
            soup = vector(0.95)
            ledger.finally_scored("validation", soup, Score((5.0, 5.0)), 0.0)
            ledger.finally_scored("test", soup, Score((6.0, 6.0)), 0.0)
            ledger.finally_scored("test", vector(0.2), Score((2.5, 2.5)), 0.0)
            ledger.finally_scored("test", vector(0.0), Score.failed("timeout: [/x]"), 0.0)
            rows: list[tuple[str, str, str, int | None]] = [
                ("soup [/i]", "baseline", digest(soup), None),
                ("knee", "pick", digest(vector(0.2)), 2),
                ("best f", "pick", digest(vector(0.0)), 0),
            ]
            ledger.set_final_rows(rows)
            ledger.set_fact("finished", 1.0)
    return Run.at(folder)
