"""A search restored from a snapshot is the search that was told everything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import evolve
from evolve import Experiment, Free, Record, Score
from evolve.engine import restoring
from evolve.engine.loop import Loop
from evolve.engine.run import conduct
from evolve.engine.workers import InProcess
from evolve.genomes.vector import Vector
from evolve.search.genetic import Genetic
from evolve.store.ledger import Ledger
from tests.evolve.engine.problems import dtlz, dtlz_search, unruly


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "APART", 10)


class Counting:
    """The search of `dtlz`, which counts what it is told."""

    told = 0

    def __init__(self, inner: Genetic[Vector]) -> None:
        self._inner = inner
        self.seen, self.ask = inner.seen, inner.ask
        self.snapshot, self.restore = inner.snapshot, inner.restore

    def tell(self, record: Record[Vector], rng: object) -> None:
        Counting.told += 1
        self._inner.tell(record, rng)  # type: ignore[arg-type]

    @property
    def elites(self) -> object:
        return self._inner.elites


def counted(births: int) -> Experiment[Vector]:
    Counting.told = 0
    return replace(dtlz(births), search=lambda: Counting(dtlz_search()))


def test_a_resume_tells_only_what_came_after_the_snapshot(tmp_path: Path) -> None:
    whole = evolve.run(dtlz(80), tmp_path / "whole")
    evolve.run(counted(47), tmp_path / "run")
    run = evolve.run(counted(80), tmp_path / "run", resume=True)
    # Birth 47 is asked when 40 are told: the snapshot at 40 is the last one before.
    assert Counting.told == 80 - 40
    assert run.digest == whole.digest


def test_a_search_that_was_changed_is_told_everything(tmp_path: Path) -> None:
    """What a snapshot holds may not fit it."""
    file, out = tmp_path / "trial.py", tmp_path / "run"
    file.write_text("one")
    conduct(counted(25), out, file=file)
    file.write_text("two")
    run = conduct(counted(40), out, file=file, resume=True, births=40, accept_changes=True)
    assert Counting.told == 40
    assert run.digest == evolve.run(dtlz(40), tmp_path / "whole").digest


@pytest.mark.parametrize("cut", [13, 20, 55, 61])
def test_a_run_goes_on_wherever_it_was_cut(tmp_path: Path, cut: int) -> None:
    whole = evolve.run(dtlz(80), tmp_path / "whole")
    with Stopped(tmp_path / "run", cut) as ledger:
        ledger.begin_epoch({})
        told: list[tuple[int, int]] = []
        Loop(
            dtlz(80), dtlz_search(), ledger, InProcess([dtlz().fitness]), 80,  # type: ignore[arg-type]
            resumed=lambda told_before, elites: told.append((told_before, len(elites))),
        ).run()  # fmt: skip
        assert told[0][0] == cut
        assert told[0][1] > 0
        assert ledger.digest() == whole.digest


class Stopped:
    """The ledger of a run of `dtlz` that was stopped after `cut` births."""

    def __init__(self, folder: Path, cut: int) -> None:
        evolve.run(dtlz(cut), folder)
        self._ledger = Ledger.open(folder, write=True)

    def __enter__(self) -> Ledger:
        return self._ledger

    def __exit__(self, *raised: object) -> None:
        self._ledger.close()


def test_free_order_is_restored_too(tmp_path: Path) -> None:
    whole = evolve.run(dtlz(60, order=Free()), tmp_path / "whole")
    evolve.run(dtlz(33, order=Free()), tmp_path / "run")
    run = evolve.run(dtlz(60, order=Free()), tmp_path / "run", resume=True)
    assert run.digest == whole.digest


def test_a_search_without_snapshots_is_told_everything(tmp_path: Path) -> None:
    class Plain:
        def __init__(self) -> None:
            inner = dtlz_search()
            self.seen, self.ask, self.tell = inner.seen, inner.ask, inner.tell
            self._inner = inner

        @property
        def elites(self) -> object:
            return self._inner.elites

    experiment = replace(dtlz(40), search=Plain)
    evolve.run(replace(experiment, births=25), tmp_path / "run")
    run = evolve.run(experiment, tmp_path / "run", resume=True)
    assert run.digest == evolve.run(dtlz(40), tmp_path / "whole").digest


def test_failed_births_are_restored_with_the_others(tmp_path: Path) -> None:
    experiment = unruly("raise", tmp_path, births=40)
    whole = evolve.run(experiment, tmp_path / "whole")
    evolve.run(replace(experiment, births=23), tmp_path / "run")
    run = evolve.run(experiment, tmp_path / "run", resume=True)
    assert run.digest == whole.digest
    assert any(isinstance(r.score, Score) and r.score.error for r in run.records)
