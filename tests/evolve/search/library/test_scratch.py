"""The study of one ask, as a sampler meets it."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from evolve.search.library.scratch import MOMENT, NAME, Scratch, finished

GENE = {"gene0": FloatDistribution(0.0, 1.0)}


def told(costs: list[list[float] | None]) -> list[FrozenTrial]:
    """One told trial for each row of `costs`, at genes 0.0, 0.1 ..."""
    return [finished(i, {"gene0": i / 10}, GENE, row, {"n": i}) for i, row in enumerate(costs)]


def study(scratch: Scratch) -> Study:
    return Study(NAME, scratch, sampler=optuna.samplers.RandomSampler(seed=1))


def test_a_told_trial_is_complete_and_one_without_costs_failed() -> None:
    good, bad = told([[2.0], None])
    assert (good.state, good.value, good.params) == (TrialState.COMPLETE, 2.0, {"gene0": 0.0})
    assert (bad.state, bad.values) == (TrialState.FAIL, None)
    assert [trial.number for trial in (good, bad)] == [0, 1]
    assert bad.system_attrs == {"n": 1}
    assert {good.datetime_start, good.datetime_complete} == {MOMENT}


def test_a_told_trial_is_a_copy_of_what_it_was_given() -> None:
    params, attrs = {"gene0": 0.5}, {"a": 1}
    trial = finished(0, params, GENE, [1.0], attrs)
    params["gene0"], attrs["a"] = 0.6, 2
    assert (trial.params, trial.system_attrs) == ({"gene0": 0.5}, {"a": 1})


def test_a_sampler_sees_the_told_trials_and_the_running_one() -> None:
    scratch = Scratch(told([[2.0], None, [1.0]]), 1, {})
    found = scratch.get_all_trials(0)
    assert [trial.state.name for trial in found] == ["COMPLETE", "FAIL", "COMPLETE", "RUNNING"]
    assert found[3].number == scratch.running.number == 3
    complete = scratch.get_all_trials(0, states=(TrialState.COMPLETE,))
    assert [trial.number for trial in complete] == [0, 2]
    assert study(scratch).best_trial.number == 2
    assert scratch.get_trial(1).state == TrialState.FAIL


def test_copies_are_given_unless_they_are_declined() -> None:
    scratch = Scratch(told([[2.0]]), 1, {})
    assert scratch.get_all_trials(0)[1] is not scratch.running
    assert scratch.get_all_trials(0, deepcopy=False)[1] is scratch.running


def test_every_objective_is_minimised() -> None:
    assert study(Scratch([], 3, {})).directions == [StudyDirection.MINIMIZE] * 3


def test_what_is_suggested_lands_in_the_running_trial() -> None:
    trials = told([[2.0], [1.0]])
    scratch = Scratch(trials, 1, {})
    trial = study(scratch).ask()
    value = trial.suggest_float("gene0", 0.0, 1.0)
    assert trial.number == 2
    assert scratch.running.params == {"gene0": value}
    assert scratch.running.distributions == GENE
    assert trial.suggest_float("gene0", 0.0, 1.0) == value
    assert [each.params for each in trials] == [{"gene0": 0.0}, {"gene0": 0.1}]
    assert len(trials) == 2, "the list is borrowed"


def test_what_a_sampler_writes_stays_here() -> None:
    attrs = {"known": [1]}
    scratch = Scratch([], 1, attrs)
    scratch.set_study_system_attr(0, "new", 2)
    scratch.set_trial_system_attr(0, "key", "value")
    assert scratch.get_study_system_attrs(0) == scratch.study_attrs == {"known": [1], "new": 2}
    assert attrs == {"known": [1]}
    assert scratch.running.system_attrs == {"key": "value"}
    assert scratch.get_study_user_attrs(0) == {}


def test_two_asks_do_not_meet() -> None:
    trials = told([[2.0]])
    first, second = Scratch(trials, 1, {}), Scratch(trials, 1, {})
    study(first).ask().suggest_float("gene0", 0.0, 1.0)
    assert second.running.params == {}


def test_it_is_not_created_told_or_kept() -> None:
    scratch = Scratch(told([[2.0]]), 1, {})
    ours = study(scratch)
    trial = ours.ask()
    for forbidden in (
        lambda: ours.tell(trial, 1.0),
        lambda: trial.report(1.0, 0),
        lambda: trial.set_user_attr("a", 1),
        lambda: ours.set_user_attr("a", 1),
        lambda: scratch.delete_study(0),
        lambda: scratch.create_new_study([StudyDirection.MINIMIZE]),
        lambda: scratch.get_all_studies(),
    ):
        with pytest.raises(NotImplementedError, match="A scratch study serves one ask"):
            forbidden()
