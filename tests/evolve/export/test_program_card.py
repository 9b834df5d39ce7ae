from __future__ import annotations

import numpy as np
import pytest

from evolve.export.program_card import Learned, program_card
from evolve.genomes.program.program import Program
from evolve.score import Objective, Record, Score

REGION = "# EVOLVE-BLOCK-START a\nx = 1\n# EVOLVE-BLOCK-END\n"
SCORE = Score((0.5, 3.0), notes={"isolation": "plain: not blocked: files"})
SECTIONS = ["Notes", "Scores", "Changes", "Weights", "Isolation", "Retrain"]


def written(text: str, learned: Learned | None = None) -> str:
    program = Program({"parts/net.py": REGION + text})
    record = Record(3, program, "ab" * 32, SCORE)
    learned = learned or Learned({"w": np.zeros((2, 3))}, SCORE, None)
    objectives = [Objective("accuracy"), Objective("size")]
    return program_card("winner", record, {"Scores": "few"}, learned, program, objectives)


def test_the_sections_stand_in_order() -> None:
    text = written("")
    assert text.startswith("---\ntags:\n- evolve\n---\n\n# winner\n\nA program (`parts/net.py`)")
    assert [line[3:] for line in text.split("\n") if line.startswith("## ")] == SECTIONS
    assert "`weights.safetensors`: 6 elements in 1 tensor(s)." in text
    assert "\nplain: not blocked: files\n" in text


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("def predict(weights, inputs):\n    return inputs\n", True),
        ("def predict(inputs):\n    return inputs\n", False),
        ("def f():\n    def predict(weights, inputs):\n        pass\n", False),
    ],
)
def test_use_is_shown_where_it_is_known(text: str, used: bool) -> None:
    assert ("import parts.net as program" in written(text)) is used
    assert "## Use" not in written(text, Learned({}, SCORE, None))


def test_only_values_that_differ_are_said_to() -> None:
    anew = Learned({"w": np.zeros(1)}, Score((0.25, 3.0)), None)
    assert written("", anew).count("accuracy 0.25, scored 0.5.") == 2
    assert "size" not in written("", anew)
