"""The sealed test: chosen on validation, each genome tested once, whatever stops it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import evolve
from evolve import Experiment, Final, Needs, Objective, Run
from evolve.engine.final import conclude
from evolve.engine.workers import Answer, InProcess, Outcome
from evolve.errors import ExperimentError
from evolve.failure import Failure, Policy
from evolve.genome import digest
from evolve.genomes.vector import Vector
from evolve.score import Score, costs
from evolve.search.stages import Staged
from evolve.store.ledger import Ledger
from fitness.problems import Problem, dtlz2
from operators.vector import GaussianMutation
from tests.evolve.engine.noted import Noted, noted
from tests.evolve.engine.problems import BOX, Unruly, dtlz, founders, unruly


def backwards(x: np.ndarray, m: int) -> Sequence[float]:
    """Another truth on the test split: the best on validation is the worst."""
    return tuple(-value for value in dtlz2(x, m))


def scaled(*factors: float) -> list[Vector]:
    """The middle of the box times each factor: the nearer to 1, the smaller the summed cost."""
    return [Vector(np.full(BOX.size, 0.5 * factor), BOX) for factor in factors]


BASELINES: Mapping[str, Sequence[Vector]] = {
    "middle": scaled(1.0),
    "scaled": scaled(0.2, 0.9, 0.5),
    "founder": founders(1),
    "same": scaled(1.0),
}


def finished(tmp_path: Path, births: int = 20, **test: object) -> tuple[Run[Vector], list[str]]:
    """A finished run with all baselines, and what its test fitness scored."""
    calls: list[str] = []
    final = Final(Noted(calls, **test), BASELINES)  # type: ignore[arg-type]
    return evolve.run(noted(births, [], final=final), tmp_path / "run"), calls


def test_a_baseline_is_its_best_candidate_on_validation(tmp_path: Path) -> None:
    run, calls = finished(tmp_path, formula=backwards)
    sums = {digest(g): sum(dtlz2(g.values, 3)) for g in BASELINES["scaled"]}
    (row,) = [row for row in run.final if row.name == "scaled"]
    assert (row.role, row.digest, row.birth) == ("baseline", min(sums, key=sums.__getitem__), None)
    assert sum(row.validation.values) == pytest.approx(sums[row.digest])
    assert row.test.values == tuple(-value for value in row.validation.values)
    assert set(calls) & set(sums) == {row.digest}, "what was not chosen stays untested"


def test_births_are_tested_beside_the_baselines(tmp_path: Path) -> None:
    final = Final(Noted([]), {"middle": scaled(1.0)}, births={"third": 2, "last": 13})
    run = evolve.run(noted(14, [], final=final), tmp_path / "run")
    rows = [(row.name, row.role, row.digest, row.birth) for row in run.final[:3]]
    third, last = (run.records[n].digest for n in (2, 13))
    assert rows == [
        ("middle", "baseline", digest(scaled(1.0)[0]), None),
        ("third", "baseline", third, 2),
        ("last", "baseline", last, 13),
    ]


@pytest.mark.parametrize("births", [{"late": 14}, {"early": -1}, {"middle": 3}])
def test_births_that_cannot_be_tested_are_refused(tmp_path: Path, births: dict[str, int]) -> None:
    final = Final(Noted([]), {"middle": scaled(1.0)}, births=births)
    with pytest.raises(ExperimentError, match="give a birth from 0 to 13, under a name"):
        evolve.run(noted(14, [], final=final), tmp_path / "run")


def test_a_candidate_that_fails_on_validation_is_not_chosen(tmp_path: Path) -> None:
    best = digest(scaled(0.9)[0])
    final = Final(Noted([]), {"scaled": BASELINES["scaled"]})
    experiment = noted(14, [], final=final)
    experiment = replace(experiment, fitness=Noted([], failing=frozenset([best])))
    run = evolve.run(experiment, tmp_path / "run")
    assert run.final[0].digest == digest(scaled(0.5)[0])


@dataclass(frozen=True)
class Bounded(Noted):
    """Infeasible where the last gene is 0.4 or more: there the costs are best."""

    def _score(self, genome: Vector) -> Score:
        return replace(super()._score(genome), violation=2.0 * (genome.values[-1] >= 0.4))


def test_an_infeasible_candidate_is_chosen_only_if_all_are(tmp_path: Path) -> None:
    best, second = scaled(0.9), scaled(0.5)
    final = Final(Bounded([]), {"some": [*scaled(0.2), *best, *second], "none": best})
    experiment = noted(14, [], final=final)
    run = evolve.run(replace(experiment, fitness=Bounded([])), tmp_path / "run")
    assert [row.digest for row in run.final[:2]] == [digest(second[0]), digest(best[0])]


def test_the_picks_are_the_knee_and_the_extremes_of_the_front(tmp_path: Path) -> None:
    run, _ = finished(tmp_path, births=40)
    table = costs([record.score for record in run.front], run.objectives)
    spread = (table - table.min(0)) / np.ptp(table, axis=0)
    expected = [int(spread.sum(1).argmin()), *table.argmin(0).tolist()]
    picks = [row for row in run.final if row.role == "pick"]
    assert [row.name for row in picks] == ["knee", "best f1", "best f2", "best f3"]
    assert [row.birth for row in picks] == [run.front[i].birth for i in expected]
    assert [row.name for row in run.final[:4]] == list(BASELINES)


def test_a_genome_is_scored_once_a_split(tmp_path: Path) -> None:
    on_validation: list[str] = []
    on_test: list[str] = []
    final = Final(Noted(on_test), BASELINES)
    run = evolve.run(noted(20, on_validation, final=final), tmp_path / "run")
    assert set(on_test) == {row.digest for row in run.final}
    assert max(Counter(on_test).values()) == 1  # "middle" and "same" are one genome
    assert max(Counter(on_validation).values()) == 1  # "founder" was the first birth
    assert len(on_validation) == 20 + 4
    evolve.run(noted(20, on_validation, final=final), tmp_path / "run", resume=True)
    assert len(on_validation) == 20 + 4
    assert max(Counter(on_test).values()) == 1


def test_nothing_of_it_is_told_to_the_search(tmp_path: Path) -> None:
    run, _ = finished(tmp_path, formula=backwards)
    assert run.digest == evolve.run(dtlz(20), tmp_path / "plain").digest
    assert len(run.records) == 20


@pytest.mark.parametrize(
    ("validation", "test"),
    [(20, None), (22, None), (None, 0), (None, 1), (None, 5)],
    ids=["first baseline", "third baseline", "first test", "second test", "among the picks"],
)
def test_stopped_anywhere_it_goes_on_where_it_was(
    tmp_path: Path, validation: int | None, test: int | None
) -> None:
    ours: list[str] = []
    theirs: list[str] = []

    def stopping(validation: int | None, test: int | None) -> Experiment[Vector]:
        return noted(20, ours, stop=validation, final=Final(Noted(theirs, stop=test), BASELINES))

    with pytest.raises(KeyboardInterrupt):
        evolve.run(stopping(validation, test), tmp_path / "run")
    assert evolve.load(tmp_path / "run").final == []
    assert len(theirs) == (test or 0)
    resumed = evolve.run(stopping(None, None), tmp_path / "run", resume=True)
    assert max(Counter(ours).values()) == max(Counter(theirs).values()) == 1
    whole, calls = finished(tmp_path / "whole")
    assert theirs == calls
    assert rows(resumed) == rows(whole)


def rows(run: Run[Vector]) -> list[tuple[object, ...]]:
    return [
        (row.name, row.role, row.digest, row.birth, row.validation.values, row.test.values)
        for row in run.final
    ]


def test_a_longer_run_tests_only_what_is_new(tmp_path: Path) -> None:
    first, calls = finished(tmp_path, births=14)
    before = rows(first)
    experiment = noted(60, [], final=Final(Noted(calls), BASELINES))
    longer = evolve.run(experiment, tmp_path / "run", resume=True)
    assert rows(longer) != before
    assert max(Counter(calls).values()) == 1
    assert rows(longer) == rows(finished(tmp_path / "whole", births=60)[0])


def test_a_failed_test_is_a_row_and_is_not_tried_again(tmp_path: Path) -> None:
    bad = digest(scaled(1.0)[0])
    run, calls = finished(tmp_path, failing=frozenset([bad]))
    failed = {row.name: row.test.error for row in run.final if row.test.error is not None}
    words = "exception: RuntimeError: the test cannot bear this genome"
    assert failed == {"middle": words, "same": words}
    assert len(run.final) == len(BASELINES) + 4
    experiment = noted(20, [], final=Final(Noted(calls), BASELINES))
    evolve.run(experiment, tmp_path / "run", resume=True)
    assert calls.count(bad) == Policy().exception


def test_without_a_front_there_are_only_baselines(tmp_path: Path) -> None:
    final = Final(Unruly("fine", tmp_path), {"middle": scaled(1.0)})
    experiment = replace(unruly("raise", tmp_path, births=8), final=final)
    experiment = replace(experiment, fitness=Unruly("raise", tmp_path, share=2.0))
    run = evolve.run(experiment, tmp_path / "run")
    assert [(row.name, row.test.error) for row in run.final] == [("middle", None)]
    assert run.final[0].validation.error is not None


class Losing(InProcess):
    """Loses each genome `times` times before it is scored."""

    times = 0

    def wait(self, patience: float | None = None) -> list[Outcome]:
        (outcome,) = super().wait(patience)
        if outcome.task.attempts[0] > self.times:
            return [outcome]
        return [replace(outcome, answer=Answer(failure=Failure.WORKER_LOST, detail="it died"))]


@pytest.mark.parametrize(("times", "error"), [(2, None), (3, "worker lost: it died")])
def test_a_lost_worker_is_tried_three_times(tmp_path: Path, times: int, error: str | None) -> None:
    problem = Problem(dtlz2, 3)
    experiment = replace(dtlz(12), final=Final(problem, {"middle": scaled(1.0)}))
    with closing(Ledger.create(tmp_path / "run", {"name": "x", "births": 12})) as ledger:
        ledger.begin_epoch({})
        workers = Losing([problem, problem], slots=2)
        workers.times = times
        conclude(experiment, ledger, workers)  # type: ignore[arg-type]
        score = ledger.final("test", digest(scaled(1.0)[0]))
    assert score is not None
    assert score.error == error


@pytest.mark.parametrize(
    ("final", "words"),
    [
        (
            Final(Problem(dtlz2, 2)),
            r"objectives .*'f2', False\)\], Experiment.*measure what was ev",
        ),
        (Final(Problem(dtlz2, 3), {"a": scaled(1), "b": []}), "no candidate for 'b'.*leave it ou"),
    ],
    ids=["other objectives", "empty baseline"],
)
def test_a_test_that_could_not_be_done_is_refused_before_any_work(
    tmp_path: Path, final: Final[Vector], words: str
) -> None:
    calls: list[str] = []
    with pytest.raises(ExperimentError, match=words):
        evolve.run(noted(20, calls, final=final), tmp_path / "run")
    assert calls == []
    assert not (tmp_path / "run").exists()


def test_needs_of_the_test_are_asked_for_too(tmp_path: Path) -> None:
    """A worker must bear both fitnesses: its needs are the larger of each."""
    from evolve.engine.hire import largest

    ours, theirs = Needs(cpus=2.0, memory=10), Needs(gpus=1.0, memory=20, batch=4, timeout=1.0)
    pair = [Problem(dtlz2, 3, needs=ours), Problem(dtlz2, 3, needs=theirs)]
    assert largest(pair) == Needs(cpus=2.0, gpus=1.0, memory=20)


@dataclass(frozen=True)
class Stepped:
    """The genome's mean, and more at a dearer rung."""

    rungs: tuple[int, ...] = (1, 2)
    objectives: tuple[Objective, ...] = (Objective("mean"),)
    needs: Needs = Needs()  # noqa: RUF009  (frozen)

    def evaluate(self, genomes: Sequence[Vector], rung: int, seed: int) -> list[Score]:
        return [Score((float(genome.values.mean()) + 10 * rung,)) for genome in genomes]


def test_what_was_scored_at_a_lower_rung_alone_is_validated_at_the_last(tmp_path: Path) -> None:
    def search() -> Staged[Vector]:  # founders at rung 0, one generation beyond
        return Staged(
            founders=founders(3),
            operators=[GaussianMutation(0.1)],
            objective=Objective("mean"),
            offspring=3,
            start=True,
        )

    final = Final(Stepped(), {str(i): [founder] for i, founder in enumerate(founders(3))})
    run = evolve.run(Experiment("stepped", search, Stepped(), 7, final=final), tmp_path / "run")
    genomes = {digest(founder): founder for founder in founders(3)}
    assert [(r.digest, r.rung) for r in run.records[:3]] == [(each, 0) for each in genomes]
    again = [r for r in run.records[3:] if r.digest in genomes]
    assert [r.rung for r in again] == [1], "the parent, beside its children"
    for row in run.final[:3]:
        mean = float(genomes[row.digest].values.mean())
        assert row.validation.values == pytest.approx((mean + 10,))
