from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from safetensors.numpy import load_file

import evolve
from evolve.engine.story import story
from evolve.errors import ExportError
from evolve.export import card, exporter_for, program_card
from evolve.export.program import ProgramExporter, unified
from evolve.export.retraining import read
from evolve.genome import Json, digest
from evolve.genomes.program.program import Program
from evolve.genomes.vector import Box, Vector
from evolve.score import Record
from evolve.store.run import Run
from evolve.streams import Stream, seed_for
from tests.evolve.export.code_toy import SOURCE, START, Trained, experiment, exporter

CHILD = START.swapped({"width": "# less is more\nWIDTH = 3"})
STORY = {"Scores": "| a | b |", "Experiment": "- name: toy\n- seed: 5\n- births: 8"}
SEED = seed_for(5, 0, Stream.EVALUATE)


def record(program: Program = CHILD, fitness: Trained | None = None) -> Record[Program]:
    (score,) = (fitness or Trained()).evaluate([program], 0, SEED)
    facts: dict[str, Json] = {"region": "width", "principle": "narrow\nlayers", "seen": [1]}
    return Record(7, program, digest(program), score, 0, (3,), "rewrite", facts)


def patched(before: Mapping[str, str], diff: str) -> dict[str, str]:
    """`before` with a unified diff applied to it, each line compared."""
    after = dict(before)
    for part in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
        path = part.split("\n")[1].removeprefix("+++ b/")
        old, new, at = before[path].split("\n"), list[str](), 0
        for line in part.split("\n")[2:]:
            if hunk := re.match(r"@@ -(\d+)", line):
                new += old[at : int(hunk[1]) - 1]
                at = int(hunk[1]) - 1
            elif line[:1] in ("-", " "):
                assert old[at] == line[1:]
                at += 1
            if line[:1] in ("+", " "):
                new.append(line[1:])
        after[path] = "\n".join(new + old[at:])
    return after


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run[Program]:
    return evolve.run(replace(experiment, seed=11), tmp_path_factory.mktemp("toy") / "run")


def test_a_run_exports_its_knee_whole(run: Run[Program]) -> None:
    folder, knee = run.path / "export", run.knee()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "program/net.py", "program/parts/loss.py", "changes.diff", "weights.safetensors",
        "program.json", "retrain.py", "README.md",
    }  # fmt: skip
    for path, text in knee.genome.files.items():
        assert (folder / "program" / path).read_text() == text
    assert patched(START.files, (folder / "changes.diff").read_text()) == knee.genome.files
    heritage = knee.score.heritage
    assert heritage is not None
    found = load_file(folder / "weights.safetensors")
    assert {n: a.tobytes() for n, a in found.items()} == {
        n: a.tobytes() for n, a in heritage.items()
    }
    readme = (folder / "README.md").read_text()
    assert "## Isolation\n\nfull: in a thought\n" in readme
    assert "They are the tensors that were scored on validation." in readme
    assert "import net as program" in readme
    assert card.notes(folder) == [program_card.EVOLVED]


def test_the_script_finds_the_cards_test_score_again(run: Run[Program], tmp_path: Path) -> None:
    folder = run.path / "export"
    tested = next(row.test for row in run.final if row.name == "knee")
    seed = seed_for(11, 0, Stream.FINAL)  # the run's, not that of the experiment's file
    done = ran(folder, tmp_path)
    assert done.stderr == ""
    lines = done.stdout.split("\n")
    assert lines[0] == f"| objective | validation | test | from scratch, seed {seed} |"
    assert lines[1] == "|---|---|---|---|"
    assert lines[2].endswith(f" | {tested.values[0]:.6g} | {tested.values[0]:.6g} |")
    assert lines[4] == "epochs: 3"


def ran(folder: Path, where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(folder / "retrain.py"), *arguments]
    return subprocess.run(script, cwd=where, capture_output=True, text=True, check=False)


def test_the_script_says_what_it_lacks(tmp_path: Path) -> None:
    ProgramExporter(START).export(record(), tmp_path / "to", STORY)
    done = ran(tmp_path / "to", tmp_path)
    assert done.returncode == 2
    assert "--experiment" in done.stderr
    done = ran(tmp_path / "to", tmp_path, "--experiment", "none.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "none.py is not a Python file" in done.stderr


def test_the_card_tells_what_changed_and_why(tmp_path: Path) -> None:
    exporter.export(record(), tmp_path / "to", STORY)
    readme = (tmp_path / "to" / "README.md").read_text()
    assert "in `width`: `changes.diff`" in readme
    assert "The last step was `rewrite`:\n\n- region: width\n- principle: narrow layers" in readme
    assert "seen" not in readme
    for program, words in (
        (START, "None: this is the start program."),
        (START.swapped({"width": "WIDTH = 4"}), "Comments and formatting only"),
    ):
        to = tmp_path / digest(program)[:4] / words[:4]
        exporter.export(record(program), to, STORY)
        assert words in (to / "README.md").read_text()
        assert ((to / "changes.diff").read_text() == "") == (program is START)


def test_weights_that_were_not_kept_are_trained_again_to_the_bit(tmp_path: Path) -> None:
    exporter.export(record(fitness=Trained(keep=False)), tmp_path / "to", STORY)
    heritage = record().score.heritage
    assert heritage is not None
    found = load_file(tmp_path / "to" / "weights.safetensors")
    assert found["w"].tobytes() == heritage["w"].tobytes()
    assert "give its validation scores, to the bit" in (tmp_path / "to" / "README.md").read_text()
    assert len(card.notes(tmp_path / "to")) == 1


def test_weights_that_score_otherwise_are_not_passed_off_as_scored(tmp_path: Path) -> None:
    scored = record(fitness=Trained(keep=False))
    other = {**STORY, "Experiment": "- seed: 6"}
    exporter.export(scored, tmp_path / "to", other)
    note = card.notes(tmp_path / "to")[1]
    assert note.startswith("`weights.safetensors` was trained anew and does not give the scores")
    assert f"scored {scored.score.values[0]:.6g}" in note
    assert "size" not in note


def test_without_weights_the_card_says_so(tmp_path: Path) -> None:
    ProgramExporter(START).export(record(fitness=Trained(keep=False)), tmp_path / "to", STORY)
    assert not (tmp_path / "to" / "weights.safetensors").exists()
    readme = (tmp_path / "to" / "README.md").read_text()
    assert "There are none in this directory" in readme
    assert "## Use" not in readme


def test_an_inherited_program_has_both_scores_and_is_retrained_without(tmp_path: Path) -> None:
    heir = replace(CHILD, inherited={"w": np.full(3, 0.5)}, epochs=9)
    exporter.export(record(heir), tmp_path / "to", STORY)
    readme = (tmp_path / "to" / "README.md").read_text()
    scratch, inherited = record().score.values[0], record(heir).score.values[0]
    assert scratch != inherited
    assert f"| inherited | {inherited:.6g} | 3 | 12 |" in readme
    assert f"| from scratch | {scratch:.6g} | 3 | 3 |" in readme
    assert "did not have equal training" in readme
    assert "trained for 9 epochs" in card.notes(tmp_path / "to")[1]
    told, program = read(tmp_path / "to")
    assert digest(program) == digest(CHILD) == told["digest"]
    ProgramExporter(START).export(record(heir), tmp_path / "alone", STORY)
    assert "From scratch it was not scored" in (tmp_path / "alone" / "README.md").read_text()


def test_a_training_that_fails_leaves_nothing(tmp_path: Path) -> None:
    broken = START.swapped({"width": "WIDE = 3"})
    scored = replace(record(), genome=broken, score=record(fitness=Trained(keep=False)).score)
    with pytest.raises(ExportError, match="cannot be trained anew for its weights: exception"):
        exporter.export(scored, tmp_path / "to", STORY)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_within_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(program_card, "program_card", failing)
    with pytest.raises(KeyboardInterrupt):
        exporter.export(record(), tmp_path / "to", STORY)
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    with pytest.raises(ExportError, match="exists already"):
        exporter.export(record(), tmp_path / "to", STORY)
    assert list((tmp_path / "to").iterdir()) == []


def test_strangers_are_refused(tmp_path: Path) -> None:
    stranger = Program({"net.py": SOURCE})
    with pytest.raises(ExportError, match="does not descend from it"):
        exporter.export(record(stranger), tmp_path / "to", STORY)
    vector = Vector(np.zeros(1), Box.of(0, 1, 1))
    other = cast("Record[Program]", replace(cast("Record[Any]", record()), genome=vector))
    with pytest.raises(ExportError, match="Birth 7 is a Vector, ProgramExporter writes Program"):
        exporter.export(other, tmp_path / "to", STORY)


def test_the_command_line_finds_the_start_in_the_run(run: Run[Program], tmp_path: Path) -> None:
    knee = run.knee()
    exporter_for(knee.genome, run).export(knee, tmp_path / "to", story(run, knee))
    diff = (tmp_path / "to" / "changes.diff").read_text()
    assert diff == unified(START.files, knee.genome.files)
    exporter_for(knee.genome).export(knee, tmp_path / "alone", {})
    assert not (tmp_path / "alone" / "changes.diff").exists()
    assert "no diff" in (tmp_path / "alone" / "README.md").read_text()


def test_a_diff_says_where_a_line_end_is_missing() -> None:
    before = {"a.py": "x = 1\ny = 2", "b.py": "z = 3\n"}
    diff = unified(before, {"a.py": "x = 1\ny = 3", "b.py": "z = 3\n"})
    assert diff == (
        "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n x = 1\n"
        "-y = 2\n\\ No newline at end of file\n+y = 3\n\\ No newline at end of file\n"
    )


@pytest.mark.slow  # a sandbox starts
def test_what_is_shipped_gives_what_was_scored_in_a_real_sandbox(tmp_path: Path) -> None:
    from fitness.harness import Classification
    from fitness.harness.box import INSIDE, PREFIX, files_of
    from fitness.sandbox import Call, run
    from tests.fitness.harness.tiny import START as TINY
    from tests.fitness.harness.tiny import data, linear

    keeping = Classification(TINY, data(), rungs=(2,), keep_weights=True)
    program = linear(4, 5, 3)
    (score,) = replace(keeping, keep_weights=False).evaluate([program], 0, SEED)
    scored = Record(1, program, digest(program), score)
    ProgramExporter(TINY, keeping).export(scored, tmp_path / "to", STORY)
    assert "give its validation scores, to the bit" in (tmp_path / "to" / "README.md").read_text()
    weights = load_file(tmp_path / "to" / "weights.safetensors")
    _, shipped = read(tmp_path / "to")
    arrays = {"inputs": data().inputs, **{PREFIX + n: a for n, a in weights.items()}}
    function = f"{INSIDE.removesuffix('.py')}:predict"
    answer = run(Call(files_of(shipped, TINY), function, arrays, {"program": "tiny"}))
    assert isinstance(answer.value, Mapping)
    scores = answer.value["scores"]
    assert isinstance(scores, np.ndarray)
    assert float((scores.argmax(1) == data().labels).mean()) == score.values[0]
