"""What an Optuna sampler sees during one ask: the told trials and one running trial.

An `optuna.storages.BaseStorage` over a borrowed list: whatever the sampler writes lands in the
running trial and in a copy of the study's attributes, and goes when the ask returns. Imports
optuna, so it is imported by the ask, not by the package. Knows no genome and no record.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

NAME = "scratch"
MOMENT = datetime(1970, 1, 1)  # trials must carry a time; ours carry no clock's
_STUDY_ID = 0


def finished(
    number: int,
    params: Mapping[str, float],
    distributions: Mapping[str, BaseDistribution],
    costs: Sequence[float] | None,
    system_attrs: Mapping[str, Any],
) -> FrozenTrial:
    """A told trial: complete with `costs`, or failed when they are None."""
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState.FAIL if costs is None else TrialState.COMPLETE,
        value=None,
        values=costs,
        datetime_start=MOMENT,
        datetime_complete=MOMENT,
        params=dict(params),
        distributions=dict(distributions),
        user_attrs={},
        system_attrs=dict(system_attrs),
        intermediate_values={},
    )


def _refuse() -> NoReturn:
    raise NotImplementedError("A scratch study serves one ask: it is not created, told or kept.")


class Scratch(BaseStorage):
    """One study (name `NAME`, id 0) with one running trial, numbered after the told ones."""

    def __init__(
        self, told: Sequence[FrozenTrial], n_objectives: int, study_attrs: Mapping[str, Any]
    ) -> None:
        self.study_attrs: dict[str, Any] = dict(study_attrs)
        self.running = FrozenTrial(
            number=len(told),
            trial_id=len(told),
            state=TrialState.RUNNING,
            value=None,
            datetime_start=MOMENT,
            datetime_complete=None,
            params={},
            distributions={},
            user_attrs={},
            system_attrs={},
            intermediate_values={},
        )
        self._trials = [*told, self.running]
        self._directions = [StudyDirection.MINIMIZE] * n_objectives

    # What a sampler reads.
    def get_study_id_from_name(self, study_name: str) -> int:
        return _STUDY_ID

    def get_study_name_from_id(self, study_id: int) -> str:
        return NAME

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return list(self._directions)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return dict(self.study_attrs)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._trials[trial_id]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        trials = [t for t in self._trials if states is None or t.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    # What a sampler, or `Study.ask` on its behalf, writes.
    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        return self.running.number

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        self.running.params[param_name] = distribution.to_external_repr(param_value_internal)
        self.running.distributions[param_name] = distribution

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.running.system_attrs[key] = value

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self.study_attrs[key] = value

    # What one ask never does.
    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        _refuse()

    def delete_study(self, study_id: int) -> None:
        _refuse()

    def get_all_studies(self) -> NoReturn:
        _refuse()

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        _refuse()

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        _refuse()

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        _refuse()

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        _refuse()
