"""In this process: what the file says of a program; `test_attacks` runs it in boxes."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from evolve.genomes.program.program import Program
from fitness.harness import inside
from tests.fitness.harness.tiny import START, data, network


@pytest.fixture
def rehearsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.syspath_prepend(str(tmp_path))

    def rehearse(program: Program, budget: int | None = None) -> dict[str, object]:
        (tmp_path / "tiny.py").write_text(program.normal["tiny.py"])
        few = data()
        return inside.rehearse("tiny", few.train_inputs[:8], few.train_labels[:8], 3, budget, 1)

    yield rehearse
    sys.modules.pop("tiny", None)


def test_shapes_of_an_honest_program(rehearsed) -> None:
    found = rehearsed(START)
    assert found == {"elements": 15, "shapes": {"0.weight": [3, 4], "0.bias": [3]}}


def test_beyond_the_budget_nothing_is_trained(rehearsed) -> None:
    assert rehearsed(START, 14) == {"elements": 15}
    assert rehearsed(START, 15)["shapes"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def build():\n    return nn.Linear(5, 3)", "shapes on the meta device: RuntimeError"),
        ("def build():\n    return nn.Linear(4, 2)", r"becomes \(8, 2\), expected \(8, 3\)"),
        ("def build():\n    return None", "gave NoneType, expected a torch.nn.Module"),
        ("build = 1", "shapes on the meta device: TypeError"),
        ("other = 1", "shapes on the meta device: AttributeError"),
        ("import nowhere", "importing the program: ModuleNotFoundError"),
        (
            "class N(nn.Linear):\n    def forward(self, x):\n"
            "        return x[:, :3] if x.is_meta else x\n"
            "def build():\n    return N(4, 3)",
            "a few steps on one batch: ",
        ),
    ],
)
def test_what_fails_says_where(rehearsed, body: str, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        rehearsed(network(body))


def test_weights_travel_as_keywords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "tiny_keywords.py").write_text(START.normal["tiny.py"])
    few = data()
    weights = inside.train("tiny_keywords", few.train_inputs, few.train_labels, 2, 1)
    kept = {f"tensor:{name}": array for name, array in weights.items()}
    again = inside.train("tiny_keywords", few.train_inputs, few.train_labels, 0, 2, **kept)
    assert all((again[name] == weights[name]).all() for name in weights)
    scores = inside.predict("tiny_keywords", few.inputs, **kept)["scores"]
    assert scores.shape == (60, 3)
    assert scores.dtype == np.float32
