"""Credit: the better operator gets more births, in any case some go to the others."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evolve.errors import ExperimentError
from evolve.search.credit import Bandit, Credit
from evolve.streams import Stream, rng_for

NAMES = ("good", "poor", "none")
EQUAL = np.full(3, 1 / 3)


def births(credit: Credit, n: int, shares: np.ndarray = EQUAL) -> list[int]:
    """How many of `n` births each operator gets."""
    drawn = [credit.draw(shares, rng_for(3, i, Stream.ASK)) for i in range(n)]
    return np.bincount(drawn, minlength=3).tolist()


def told(credit: Credit, n: int = 100) -> Credit:
    """Half of what `good` makes succeeds, a tenth of what `poor` makes, nothing of `none`'s."""
    for i in range(n):
        credit.tell("good", i % 2 == 0)
        credit.tell("poor", i % 10 == 0)
        credit.tell("none", False)
    return credit


def test_without_evidence_all_are_equal() -> None:
    assert min(births(Credit(Bandit(), NAMES), 600)) > 150


def test_success_brings_births() -> None:
    good, poor, none = births(told(Credit(Bandit(explore=0.3), NAMES)), 600)
    assert good > 350
    assert min(poor, none) > 40  # a tenth of the births each, by the weights
    assert births(told(Credit(Bandit(explore=0.0), NAMES)), 600)[0] > 550


def test_what_has_no_share_gets_no_birth() -> None:
    assert births(told(Credit(Bandit(), NAMES)), 200, np.array([0.0, 0.5, 0.5]))[0] == 0


def test_old_success_is_forgotten() -> None:
    credit = told(Credit(Bandit(explore=0.0, memory=20.0), NAMES))
    for _ in range(200):
        credit.tell("good", False)
        credit.tell("poor", True)
    assert births(credit, 200)[1] > 180


def test_founders_and_promotions_count_for_none() -> None:
    credit, other = Credit(Bandit(memory=1e9), NAMES), Credit(Bandit(memory=1e9), NAMES)
    credit.tell("founder", True)
    assert credit.state() == other.state()


def test_it_is_restored_from_json() -> None:
    credit, again = told(Credit(Bandit(), NAMES)), Credit(Bandit(), NAMES)
    again.restore(json.loads(json.dumps(credit.state())))
    assert births(again, 100) == births(credit, 100)


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(ExperimentError, match="Two operators are called 'good'"):
        Credit(Bandit(), ("good", "good"))


@pytest.mark.parametrize("wrong", [{"explore": 1.5}, {"explore": -0.1}, {"memory": 0.0}])
def test_a_wrong_bandit_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ExperimentError, match="Bandit has"):
        Bandit(**wrong)


def test_without_forgetting_old_success_would_count_on() -> None:
    """In all `good` succeeds more often; of late it does not."""
    late: list[int] = []
    for memory in (20.0, 1e9):
        credit = Credit(Bandit(explore=0.0, memory=memory), NAMES)
        for _ in range(100):
            credit.tell("good", True)
        for i in range(40):
            credit.tell("good", False)
            credit.tell("poor", i % 2 == 0)
            credit.tell("none", False)
        late.append(births(credit, 200)[1])
    assert late[0] > 180
    assert late[1] < 20
