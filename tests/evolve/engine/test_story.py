"""What the model card tells: scores, lineage, fingerprint."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import evolve
from evolve import Final, Record, Run
from evolve.engine.run import conduct
from evolve.engine.snapshot import snapshot
from evolve.engine.story import story
from evolve.genomes.vector import Vector
from fitness.problems import Problem, dtlz2
from tests.evolve.engine.problems import Unruly, dtlz, unruly
from tests.evolve.engine.test_beside import asking


def double(x: np.ndarray, m: int) -> Sequence[float]:
    """The test split: twice the validation's."""
    return tuple(2 * value for value in dtlz2(x, m))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run[Vector]:
    folder = tmp_path_factory.mktemp("story")
    (folder / "trial.py").write_text("")
    experiment = replace(dtlz(60), final=Final(Problem(double, 3)))
    return conduct(experiment, folder / "run", file=folder / "trial.py")


def test_the_sections_are_in_order(run: Run[Vector]) -> None:
    assert list(story(run, run.knee())) == ["Scores", "Lineage", "Experiment"]


def test_the_scores_of_both_splits(run: Run[Vector]) -> None:
    knee = run.knee()
    lines = story(run, knee)["Scores"].splitlines()
    assert lines[:2] == ["| objective | validation | test |", "|---|---|---|"]
    assert lines[2:] == [
        f"| f{i + 1} | {value:.6g} | {2 * value:.6g} |"
        for i, value in enumerate(knee.score.values)
    ]


def test_what_was_not_tested_has_no_test_score(run: Run[Vector]) -> None:
    tested = {row.digest for row in run.final}
    record = next(record for record in run.records if record.digest not in tested)
    assert all(line.endswith("| – |") for line in story(run, record)["Scores"].splitlines()[2:])


def test_units_are_named(tmp_path: Path) -> None:
    fitness = Unruly("fine", tmp_path, objectives=(evolve.Objective("loss", unit="nats"),))
    experiment = replace(unruly("fine", tmp_path, births=6), fitness=fitness)
    run = evolve.run(experiment, tmp_path / "run")
    assert "| loss (nats) | " in story(run, run.knee())["Scores"]


def paths(run: Run[Vector], record: Record[Vector]) -> list[int]:
    """By the definition: the record and the ancestors of each parent, as often as they come."""
    parents = [run.records[parent] for parent in record.parents]  # ordered: told by number
    return [record.birth, *(birth for parent in parents for birth in paths(run, parent))]


def test_the_lineage_goes_down_to_founders_once_each_latest_first(run: Run[Vector]) -> None:
    record = run.records[-1]
    assert len(paths(run, record)) > len(set(paths(run, record))), "cousins have mated"
    lines = story(run, record)["Lineage"].splitlines()
    births = [int(line.split()[2].rstrip(":")) for line in lines]
    assert births[0] == record.birth
    assert births == sorted(set(paths(run, record)), reverse=True)
    assert len(births) > 4
    by_birth = {each.birth: each for each in run.records}
    for birth, line in zip(births, lines):
        each = by_birth[birth]
        parents = ", ".join(map(str, each.parents)) or "none"
        assert line.startswith(f"- birth {birth}: {each.operator}, parents {parents}, scores ")
        shown = [float(number) for number in line.rpartition("scores ")[2].split(", ")]
        assert shown == pytest.approx(each.score.values, rel=1e-3)
    assert lines[-1].startswith(f"- birth {births[-1]}: founder, parents none, scores ")


def test_a_founder_is_its_own_lineage(run: Run[Vector]) -> None:
    (line,) = story(run, run.records[0])["Lineage"].splitlines()
    assert line.startswith("- birth 0: founder, parents none")


def test_a_parent_that_failed_is_told_with_its_error(tmp_path: Path) -> None:
    fitness = Unruly("raise", tmp_path, share=2.0)
    experiment = replace(unruly("raise", tmp_path, births=9), fitness=fitness)
    run = evolve.run(experiment, tmp_path / "run")
    lines = story(run, run.records[-1])["Lineage"].splitlines()
    assert len(lines) == 2
    assert all(re.search(r"scores exception: RuntimeError: gene", line) for line in lines)


def test_the_fingerprint_of_the_experiment(run: Run[Vector]) -> None:
    lines = story(run, run.knee())["Experiment"].splitlines()
    for line in ("- name: dtlz2", "- seed: 0", "- births: 60", "- order: ordered", "- window: 8"):
        assert line in lines
    assert f"- code sha256: {snapshot(run.path.parent / 'trial.py').loaded_sha256}" in lines
    assert f"- ledger digest: {run.digest}" in lines
    (versions,) = [line for line in lines if line.startswith("- versions: ")]
    assert re.search(r"\bnumpy 2\.", versions)


def test_the_lineage_tells_how_children_were_made(tmp_path: Path) -> None:
    run = evolve.run(asking(24), tmp_path / "run")
    child = next(record for record in run.records if record.operator == "asking")
    lines = story(run, child)["Lineage"].splitlines()
    assert lines[0].startswith(f"- birth {child.birth}: asking")
    assert lines[0].endswith("; change: it may help")
    assert "change" not in lines[-1]  # a founder was not made
