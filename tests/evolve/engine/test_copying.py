"""Copies while a run goes: a whole run in the second place; a failure never stops the first."""

from __future__ import annotations

from pathlib import Path

import evolve
from evolve.engine.copying import Copying
from evolve.engine.events import Event, Kind
from evolve.engine.hire import Options
from evolve.engine.run import Silent, conduct
from tests.evolve.engine.problems import dtlz


class Hearing(Silent):
    def __init__(self) -> None:
        self.words: list[str] = []

    def says(self, words: str) -> None:
        self.words.append(words)


def test_the_copy_of_a_run_is_a_run_that_goes_on(tmp_path: Path) -> None:
    events: list[Event] = []
    options = Options(backup=str(tmp_path / "copy"))
    run = conduct(dtlz(30), tmp_path / "run", options, observers=[events.append])
    assert evolve.load(tmp_path / "copy").digest == run.digest
    assert [e.detail for e in events if e.kind is Kind.BACKUP][-1] == str(tmp_path / "copy")
    longer = evolve.run(dtlz(50), tmp_path / "copy", resume=True)
    assert longer.digest == evolve.run(dtlz(50), tmp_path / "whole").digest


def test_a_copy_that_fails_is_said_and_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    watcher = Hearing()
    options = Options(backup=str(tmp_path / "file" / "copy"))
    run = conduct(dtlz(20), tmp_path / "run", options, watcher=watcher)
    assert len(run.records) == 20
    assert any("The backup failed, the run goes on" in words for words in watcher.words)


def test_without_a_place_there_is_no_copy(tmp_path: Path) -> None:
    copying = Copying(None, Silent(), lambda event: None)
    copying.turn()
    copying.end()
    assert not list(tmp_path.iterdir())
