from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evolve.errors import ExportError
from evolve.export.retraining import FILE, read, retrained, script
from evolve.score import Record
from tests.evolve.export.code_toy import START, Trained, experiment, exporter, untested

SCORES = (
    "| objective | validation | test |\n|---|---|---|\n| accuracy | 0.9 | 0.8 |\n| size | 4 | 4 |"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (score,) = Trained().evaluate([START], 0, 1)
    exporter.export(Record(0, START, "0" * 64, score), tmp_path / "to", {"Scores": SCORES})
    return tmp_path / "to"


def changed(folder: Path, **facts: Any) -> None:
    file = folder / FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), **facts}))


def test_it_is_trained_on_the_test_with_the_given_seed(folder: Path) -> None:
    (score,) = Trained(split=1).evaluate([START], 0, 9)
    header, rule, accuracy, size, epochs = retrained(folder, experiment, 9).split("\n")
    assert header == "| objective | validation | test | from scratch, seed 9 |"
    assert rule == "|---|---|---|---|"
    assert accuracy == f"| accuracy | 0.9 | 0.8 | {score.values[0]:.6g} |"
    assert size == "| size | 4 | 4 | 4 |"
    assert epochs == "epochs: 3"
    assert retrained(folder, experiment) == retrained(folder, experiment)
    assert retrained(folder, experiment) != retrained(folder, experiment, 9)


def test_scores_in_another_form_stay_above(folder: Path) -> None:
    changed(folder, scores="They were fine.")
    assert retrained(folder, experiment, 9).startswith(
        "They were fine.\n\n| objective | from scratch, seed 9 |\n| --- | --- |\n| accuracy | "
    )
    changed(folder, scores="")
    assert retrained(folder, experiment, 9).startswith("| objective | from scratch")


def test_a_program_that_was_changed_is_called_so(folder: Path) -> None:
    file = folder / "program" / "net.py"
    file.write_text(file.read_text().replace("WIDTH = 4", "WIDTH = 2"))
    first, *_, last, _ = retrained(folder, experiment).split("\n")
    assert first == "The program was changed after its export."
    assert last.endswith("| 2 |")
    file.write_text(file.read_text().replace("WIDTH = 2", "WIDTH = two"))
    with pytest.raises(
        ExportError, match="cannot be trained here: exception: no width\nTraceback"
    ):
        retrained(folder, experiment)


def test_a_sealed_test_is_needed(folder: Path) -> None:
    with pytest.raises(ExportError, match="'code_toy' has no sealed test"):
        retrained(folder, untested)


def test_other_directories_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is no exported program"):
        read(tmp_path)
    changed(folder, format=2)
    with pytest.raises(ExportError, match="has format 2, this version reads 1"):
        read(folder)
    changed(folder, format=1, files=["gone.py"])
    with pytest.raises(ExportError, match="is no exported program"):
        read(folder)


def test_the_script_is_python_and_names_its_experiment() -> None:
    text = script("it's/code.py:iid")
    compile(text, "retrain.py", "exec")
    assert '\nEXPERIMENT = "it\'s/code.py:iid"\n' in text
