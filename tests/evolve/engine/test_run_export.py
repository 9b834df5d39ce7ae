"""What a run hands out: the export of its knee, and words to those who watch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import evolve
from evolve import Experiment, Final, Record, Run
from evolve.engine.run import conduct
from evolve.errors import ExportError, StoreError
from evolve.genomes.vector import Vector
from tests.evolve.engine.noted import Noted
from tests.evolve.engine.problems import Unruly, dtlz, unruly

# --- the export ------------------------------------------------------------------------------


@dataclass
class Shelf:
    """An exporter that keeps what it was given; refuses while `full`."""

    full: bool = False
    given: list[tuple[Record[Vector], Path, Mapping[str, str]]] = field(default_factory=list)

    def export(self, record: Record[Vector], to: Path, story: Mapping[str, str]) -> None:
        if self.full:
            raise ExportError("no room")
        to.mkdir()
        self.given.append((record, to, story))


def exporting(births: int, shelf: Shelf, calls: list[str]) -> Experiment[Vector]:
    return replace(dtlz(births), final=Final(Noted(calls), exporter=shelf))


def test_the_knee_is_exported_once_with_its_story(tmp_path: Path) -> None:
    shelf, out = Shelf(), tmp_path / "run"
    run: Run[Vector] = evolve.run(exporting(20, shelf, []), out)
    ((record, to, story),) = shelf.given
    assert (record.digest, to) == (run.knee().digest, out / "export")
    assert set(story) == {"Scores", "Lineage", "Experiment"}
    assert (
        f"| f1 | {record.score.values[0]:.6g} | {record.score.values[0]:.6g} |"
        in (story["Scores"])
    )
    evolve.run(exporting(20, shelf, []), out, resume=True)
    assert len(shelf.given) == 1


def test_a_run_that_goes_on_keeps_its_old_export_aside(tmp_path: Path) -> None:
    shelf, out, seen = Shelf(), tmp_path / "run", Onlooker()
    evolve.run(exporting(20, shelf, []), out)
    (out / "export" / "card").write_text("of twenty")
    conduct(exporting(30, shelf, []), out, resume=True, births=30, watcher=seen)
    assert (out / "export-20" / "card").read_text() == "of twenty"
    assert [to for _, to, _ in shelf.given] == [out / "export"] * 2
    assert (out / "export").exists()
    assert seen.seen[0] == "The"


def test_an_old_export_that_cannot_be_moved_is_left_with_its_end(tmp_path: Path) -> None:
    shelf, out = Shelf(), tmp_path / "run"
    evolve.run(exporting(20, shelf, []), out)
    (out / "export-20").write_text("in the way")
    with pytest.raises(StoreError, match=r"Cannot move .*export-20.*move it yourself"):
        evolve.run(exporting(30, shelf, []), out, resume=True)
    assert "finished" in evolve.load(out).facts


def test_a_failed_export_is_tried_again_by_resume_and_nothing_else_is(tmp_path: Path) -> None:
    shelf, calls = Shelf(full=True), list[str]()
    with pytest.raises(ExportError, match="no room"):
        evolve.run(exporting(20, shelf, calls), tmp_path / "run")
    tested = len(calls)
    assert tested == len({row.digest for row in evolve.load(tmp_path / "run").final})
    shelf.full = False
    evolve.run(exporting(20, shelf, calls), tmp_path / "run", resume=True)
    assert len(shelf.given) == 1
    assert len(calls) == tested


def test_without_a_front_nothing_is_exported(tmp_path: Path) -> None:
    shelf = Shelf()
    fitness = Unruly("raise", tmp_path, share=2.0)
    experiment = replace(unruly("raise", tmp_path, births=8), fitness=fitness)
    final = Final(fitness, exporter=shelf)
    run = evolve.run(replace(experiment, final=final), tmp_path / "run")
    assert (run.front, run.final, shelf.given) == ((), [], [])


# --- watching --------------------------------------------------------------------------------


@dataclass
class Onlooker:
    """Writes down what it sees."""

    seen: list[object] = field(default_factory=list)

    def started(self, experiment: Experiment[Any], births: int) -> None:
        self.seen.append((experiment.name, births))

    def resumed(self, told: int, elites: Sequence[Record[Any]]) -> None:
        self.seen.append(f"after {told}")

    def told(self, record: Record[Any]) -> None:
        self.seen.append(record.birth)

    def says(self, words: str) -> None:
        self.seen.append(words.split()[0])


def test_a_watcher_sees_all_that_is_told_and_where_a_resume_begins(tmp_path: Path) -> None:
    first, second = Onlooker(), Onlooker()
    conduct(dtlz(13), tmp_path / "run", watcher=first)
    assert first.seen == [("dtlz2", 13), *range(13)]
    longer = exporting(15, Shelf(), [])
    conduct(longer, tmp_path / "run", resume=True, births=15, watcher=second)
    assert second.seen == [("dtlz2", 15), "after 13", 13, 14, "Testing", "Exporting"]


def test_a_resumed_watcher_is_shown_the_baselines_among_the_births(tmp_path: Path) -> None:
    shown: list[int] = []

    class Looking(Onlooker):
        def resumed(self, told: int, elites: Sequence[Record[Any]]) -> None:
            shown.extend(record.birth for record in elites)

    conduct(dtlz(13), tmp_path / "run")
    final = Final(dtlz(1).fitness, births={"one": 1, "later": 14})
    longer = replace(dtlz(15), final=final)
    conduct(longer, tmp_path / "run", resume=True, births=15, watcher=Looking())
    assert shown[-1] == 1
    assert 14 not in shown


def test_versions_that_changed_are_said_at_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conduct(dtlz(6), tmp_path / "run")
    monkeypatch.setattr("evolve.engine.fingerprint.PACKAGES", ("numpy",))
    seen = Onlooker()
    conduct(dtlz(8), tmp_path / "run", resume=True, births=8, watcher=seen)
    assert seen.seen[0] == "Versions"
