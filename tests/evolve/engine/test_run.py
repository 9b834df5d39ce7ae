"""Conducting a run: what is refused, what is kept, what a second command does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

import evolve
import evolve.engine.run
from evolve import Experiment, Final, Free, Objective
from evolve.engine.run import conduct
from evolve.engine.workers import InProcess, Task
from evolve.errors import CheckpointError, ExperimentError, StoreError, WorkerError
from evolve.genome import digest
from evolve.genomes.vector import Vector
from evolve.store.ledger import Ledger
from evolve.streams import Stream, rng_for
from fitness.problems import Problem, dtlz2
from tests.evolve.engine.noted import Noted, noted
from tests.evolve.engine.problems import Unruly, dtlz, dtlz_search, unruly


def wide_search() -> Any:
    search = dtlz_search()
    search.pace = evolve.Steady(window=9)
    return search


# --- resuming --------------------------------------------------------------------------------

ORDER = "order = ordered, the experiment now has free"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (replace(dtlz(12), name="other"), "begun with name = dtlz2, the experiment now has other"),
        (replace(dtlz(12), seed=3), "begun with seed = 0, the experiment now has 3"),
        (replace(dtlz(12), order=Free()), ORDER),
        (replace(dtlz(12), fitness=Problem(dtlz2, 2)), "begun with objectives = .*'f3'"),
        (replace(dtlz(12), fitness=Problem(dtlz2, 3, rungs=(1, 2))), r"rungs = \[1\].*\[1, 2\]"),
        (replace(dtlz(12), search=wide_search), "begun with window = 8, the experiment now has 9"),
    ],
    ids=["name", "seed", "order", "objectives", "rungs", "window"],
)
def test_another_experiment_does_not_resume_a_run(
    tmp_path: Path, changed: Experiment[Vector], words: str
) -> None:
    before = evolve.run(dtlz(10), tmp_path / "run").digest
    with pytest.raises(ExperimentError, match=f"{words}.*restore it, or begin a new run"):
        evolve.run(changed, tmp_path / "run", resume=True)
    run = evolve.run(dtlz(10), tmp_path / "run", resume=True)
    assert (run.digest, run.facts["births"]) == (before, 10)


def test_a_direction_is_part_of_the_objective(tmp_path: Path) -> None:
    experiment = unruly("fine", tmp_path, births=6)
    evolve.run(experiment, tmp_path / "run")
    turned = Unruly("fine", tmp_path, objectives=(Objective("loss", maximise=True),))
    with pytest.raises(ExperimentError, match="begun with objectives"):
        evolve.run(replace(experiment, fitness=turned), tmp_path / "run", resume=True)


def test_a_changed_file_needs_to_be_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[Path] = []
    monkeypatch.setattr(Ledger, "forget_snapshots", lambda self: forgotten.append(self.folder))
    file, out = tmp_path / "trial.py", tmp_path / "run"
    file.write_text("one")
    begun = conduct(dtlz(6), out, file=file)
    assert begun.facts["file"] == str(file)
    file.write_text("two")
    with pytest.raises(
        ExperimentError,
        match=rf"{file}, or a module that it imports, has changed since.*--accept-changes",
    ):
        conduct(dtlz(8), out, file=file, resume=True, births=8)
    assert len(evolve.load(out).records) == 6
    run = conduct(dtlz(8), out, file=file, resume=True, births=8, accept_changes=True)
    assert len(run.records) == 8
    assert forgotten == [out]
    run = conduct(dtlz(9), out, file=file, resume=True, births=9)  # accepted once, it is known
    assert len(run.records) == 9
    assert forgotten == [out]
    # From Python there is no file to compare.
    assert len(evolve.run(dtlz(10), out, resume=True).records) == 10


def test_fewer_births_than_were_begun_are_refused(tmp_path: Path) -> None:
    evolve.run(dtlz(20), tmp_path / "run")
    with pytest.raises(ExperimentError, match="begun 20 births; resume it with --births 20 or mo"):
        evolve.run(dtlz(19), tmp_path / "run", resume=True)
    run = evolve.run(dtlz(20), tmp_path / "run", resume=True)
    assert (len(run.records), run.facts["births"]) == (20, 20)


def test_births_in_flight_at_a_stop_are_begun(tmp_path: Path) -> None:
    """Else they would land in the middle of the final test."""
    with pytest.raises(KeyboardInterrupt):
        evolve.run(noted(60, [], stop=30), tmp_path / "run")
    told = len(evolve.load(tmp_path / "run").records)
    assert told == 30
    with pytest.raises(ExperimentError, match=f"begun {told + 8} births"):
        evolve.run(dtlz(told + 1), tmp_path / "run", resume=True)


@pytest.mark.parametrize("births", [(12, 13), (30, 31, 50), (8, 60)])
def test_a_run_made_longer_is_the_longer_run(tmp_path: Path, births: Sequence[int]) -> None:
    whole = evolve.run(dtlz(births[-1]), tmp_path / "whole")
    run = evolve.run(dtlz(births[0]), tmp_path / "run")
    for n in births[1:]:
        run = evolve.run(dtlz(n), tmp_path / "run", resume=True)
        assert run.facts["births"] == n
    assert run.digest == whole.digest


def test_a_run_made_longer_has_not_finished_until_its_new_end(tmp_path: Path) -> None:
    final = Final(Problem(dtlz2, 3), {"a": [dtlz_search().founders[0]]})
    run = evolve.run(noted(20, [], final=final), tmp_path / "run")
    assert "finished" in run.facts
    assert run.final
    with pytest.raises(KeyboardInterrupt):
        evolve.run(noted(40, [], stop=5, final=final), tmp_path / "run", resume=True)
    run = evolve.load(tmp_path / "run")
    assert "finished" not in run.facts
    assert not run.final
    assert len(run.records) == 25
    run = evolve.run(noted(40, [], final=final), tmp_path / "run", resume=True)
    assert "finished" in run.facts
    assert run.final


def test_resume_without_births_goes_to_the_births_it_was_begun_with(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        evolve.run(noted(24, [], stop=15), tmp_path / "run")
    run = conduct(dtlz(99), tmp_path / "run", resume=True)
    assert len(run.records) == 24


# --- Ctrl-C ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [0, 1, 12, 29])
def test_ctrl_c_leaves_a_run_that_goes_on_and_no_lock(tmp_path: Path, stop: int) -> None:
    calls: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        evolve.run(noted(30, calls, stop=stop), tmp_path / "run")
    with closing(Ledger.open(tmp_path / "run", write=True)) as ledger:
        assert len(ledger.records()) == stop
    run = evolve.run(noted(30, calls), tmp_path / "run", resume=True)
    assert run.digest == evolve.run(dtlz(30), tmp_path / "whole").digest
    assert len(calls) == len(set(calls)) == 30, "nothing scored is scored again"
    assert run.outcomes == {"scored": 30, "driver lost": 1}


def test_a_run_that_is_going_is_not_run_twice(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Impatient(Problem):
        """Resumes its own run."""

        def evaluate(self, genomes: Any, rung: int, seed: int) -> Any:
            with pytest.raises(StoreError, match="being written by a live run"):
                evolve.run(dtlz(4), tmp_path / "run", resume=True)
            return super().evaluate(genomes, rung, seed)

    run = evolve.run(replace(dtlz(4), fitness=Impatient(dtlz2, 3)), tmp_path / "run")
    assert all(record.score.error is None for record in run.records)


# --- workers ---------------------------------------------------------------------------------


def test_workers_that_cannot_be_had_leave_the_directory_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> InProcess:
        raise WorkerError("2 workers need 2 GPU, the cluster has 0")

    with monkeypatch.context() as without:
        without.setattr(evolve.engine.run, "hire", none)
        with pytest.raises(WorkerError, match="need 2 GPU"):
            evolve.run(dtlz(20), tmp_path / "run")
    with pytest.raises(StoreError, match="holds no run"):
        evolve.load(tmp_path / "run")
    run = evolve.run(dtlz(20), tmp_path / "run")
    assert len(run.records) == 20

    monkeypatch.setattr(evolve.engine.run, "hire", none)
    with pytest.raises(WorkerError, match="need 2 GPU"):
        evolve.run(dtlz(30), tmp_path / "run", resume=True)
    assert evolve.load(tmp_path / "run").digest == run.digest, "what was born stays"


def test_an_address_without_workers_is_refused_and_the_command_can_be_mended(
    tmp_path: Path,
) -> None:
    with pytest.raises(ExperimentError, match="An address needs Ray workers; give --workers 1"):
        evolve.run(dtlz(20), tmp_path / "run", address="auto")
    assert len(evolve.run(dtlz(20), tmp_path / "run").records) == 20


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        (9, "at most 8 births in flight, too few for 9 workers; raise the search"),
        (-1, r"--workers is -1; give 0 \(this process\) or more"),
    ],
)
def test_workers_that_do_not_fit_the_window_are_refused(
    tmp_path: Path, workers: int, words: str
) -> None:
    with pytest.raises(ExperimentError, match=words):
        evolve.run(dtlz(20), tmp_path / "run", workers=workers)
    assert not (tmp_path / "run").exists()


def test_workers_share_what_flies_together_whatever_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    class Crew(InProcess):
        def submit(self, task: Task) -> None:
            sizes.append(len(task.births))
            super().submit(task)

    monkeypatch.setattr(
        evolve.engine.run, "hire", lambda experiment, *_: Crew([experiment.fitness])
    )
    wide = dtlz(40, batch=8)  # as wide as the window
    digests = set()
    for workers, largest in ((0, 8), (1, 8), (2, 4), (3, 3), (8, 1)):
        sizes.clear()
        run = evolve.run(wide, tmp_path / str(workers), workers=workers)
        assert (max(sizes), sum(sizes)) == (largest, 40)
        digests.add(run.digest)
    assert len(digests) == 1


@pytest.mark.parametrize("stop", [None, 0, 15])
def test_workers_are_closed_whatever_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int | None
) -> None:
    closed: list[str] = []

    class Crew(InProcess):
        def close(self) -> None:
            closed.append("closed")

    monkeypatch.setattr(
        evolve.engine.run, "hire", lambda experiment, *_: Crew([experiment.fitness])
    )
    with nullcontext() if stop is None else pytest.raises(KeyboardInterrupt):
        evolve.run(noted(20, [], stop=stop), tmp_path / "run")
    assert closed == ["closed"]


def test_a_fitness_that_calls_exit_ends_its_evaluation_only(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Leaving(Problem):
        def evaluate(self, genomes: Any, rung: int, seed: int) -> Any:
            raise SystemExit("no data")

    run = evolve.run(replace(dtlz(12), fitness=Leaving(dtlz2, 3)), tmp_path / "run")
    assert {record.score.error for record in run.records} == {"exception: SystemExit: no data"}


@dataclass(frozen=True, eq=False)
class Costly(Vector):
    """Notes where it is expressed; its expression may fail."""

    noted: ClassVar[list[str]] = []
    failing: ClassVar[list[Exception]] = []

    def express(self) -> Any:
        self.noted.append(digest(self))
        if self.failing:
            raise self.failing[0]
        return super().express()


def costly(births: int, calls: list[str], final: bool = False) -> Experiment[Vector]:
    """Its founders are `Costly`; its fitness expresses nothing."""

    def search() -> Any:
        found = dtlz_search()
        found.founders = tuple(Costly(each.values, each.box) for each in found.founders)
        return found

    twins = [Costly(each.values / 2, each.box) for each in dtlz_search().founders]
    test: Final[Vector] = Final(Noted(calls), {"a": twins[:2], "b": twins[2:4]})
    fitness = Noted(calls)
    return replace(dtlz(births), search=search, fitness=fitness, final=test if final else None)


@pytest.fixture
def fresh() -> Iterator[None]:
    Costly.noted.clear()
    yield
    Costly.noted.clear()
    Costly.failing.clear()


@pytest.mark.usefixtures("fresh")
def test_the_first_founder_and_baselines_are_expressed_before_the_clock(tmp_path: Path) -> None:
    experiment = costly(12, [], final=True)
    evolve.run(experiment, tmp_path / "run")
    assert experiment.final is not None
    firsts = [group[0] for group in experiment.final.baselines.values()]
    founder = experiment.search().ask(0, rng_for(0, 0, Stream.ASK)).genome
    assert Costly.noted == [digest(each) for each in (founder, *firsts)]
    evolve.run(experiment, tmp_path / "run", resume=True)
    assert len(Costly.noted) == 3, "a finished run needs none"


@pytest.mark.usefixtures("fresh")
def test_a_founder_that_cannot_be_built_is_one_error_before_work(tmp_path: Path) -> None:
    calls: list[str] = []
    Costly.failing.append(CheckpointError("model.safetensors is truncated"))
    with pytest.raises(CheckpointError, match="is truncated"):
        evolve.run(costly(12, calls), tmp_path / "run")
    assert calls == []
    Costly.failing.clear()
    assert len(evolve.run(costly(12, calls), tmp_path / "run").records) == 12, "mended, it runs"


@pytest.mark.usefixtures("fresh")
def test_any_other_trouble_of_a_founder_is_the_evaluations(tmp_path: Path) -> None:
    Costly.failing.append(RuntimeError("not mine"))
    assert len(evolve.run(costly(12, []), tmp_path / "run").records) == 12


# --- objectives ------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("loss", "size", "loss"), ()])
def test_objectives_that_cannot_be_told_apart_are_refused(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    fitness = Noted([], objectives=tuple(map(Objective, names)))
    with pytest.raises(ExperimentError, match=r"objectives \[.*\]; give one or more, each with"):
        evolve.run(replace(dtlz(20), fitness=fitness), tmp_path / "run")
    assert not (tmp_path / "run").exists()
