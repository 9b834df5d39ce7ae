"""What a language model was asked and said, read back from the facts of births."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evolve.genome import Json, digest
from evolve.genomes.vector import Box, Vector
from evolve.report.making import principles, reasons, repairs, spending
from evolve.score import Record, Score


def record(birth: int, operator: str, facts: Mapping[str, Json]) -> Record[Vector]:
    genome = Vector(np.zeros(2), Box.of(-1.0, 1.0, 2))
    score = Score((1.0,))
    return Record(birth, genome, digest(genome), score, operator=operator, facts=facts)


RECORDS = [
    record(0, "founder", {}),
    record(1, "code", {"tokens_in": 100, "tokens_out": 20, "estimated": False}),
    record(
        2,
        "code",
        {"tokens_in": 50, "tokens_out": 5, "estimated": True, "repaired": "no such text"},
    ),
    record(3, "code", {"copied": "code failed: infertile", "tokens_in": 9, "tokens_out": 1}),
    record(4, "thought", {"tokens_in": 7, "tokens_out": 8, "principle": "wider is better"}),
    record(5, "literals", {"change": "3 -> 4"}),
]


def test_tokens_repairs_and_copies_are_summed_by_operator() -> None:
    assert spending(RECORDS) == {
        "code": {
            "births": 3, "tokens in": 159, "tokens out": 26, "estimated": 1, "repaired": 1,
            "refused": 1,
        },
        "thought": {
            "births": 1, "tokens in": 7, "tokens out": 8, "estimated": 0, "repaired": 0,
            "refused": 0,
        },
    }  # fmt: skip


def test_principles_and_repairs_are_told_with_their_births() -> None:
    assert principles(RECORDS) == [(4, "wider is better")]
    assert repairs(RECORDS) == [(2, "no such text")]


def test_refusals_are_plain_data() -> None:
    assert reasons({("code", "out of region"): 3}) == [
        {"operator": "code", "reason": "out of region", "times": 3}
    ]
