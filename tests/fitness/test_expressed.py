import numpy as np
import pytest

from evolve.errors import GenomeError
from evolve.score import Objective, Score
from fitness.cost import Size
from fitness.expressed import OnExpressed, attempt
from fitness.problems import Problem, sphere

ONE = (Objective("f"),)


def test_a_score_passes() -> None:
    score = Score((1.0,))
    assert vars(attempt(lambda: score, ONE)) == vars(score)


def test_what_breaks_the_contract_is_invalid() -> None:
    def refuse() -> Score:
        raise GenomeError("Genome has no genes.")

    assert attempt(refuse, ONE).error == "invalid: Genome has no genes."
    assert attempt(lambda: Score((float("nan"),)), ONE).error == (
        "invalid: objective 'f' is nan, not finite"
    )
    assert attempt(lambda: Score(()), ONE).error == "invalid: 0 values for 1 objectives (f)"


def test_an_exception_is_kept_with_its_traceback() -> None:
    def divide() -> Score:
        return Score((1 / int(np.zeros(1)[0]),))

    failed = attempt(divide, ONE)
    assert failed.error == "exception: ZeroDivisionError: division by zero"
    assert "in divide" in failed.notes["traceback"]


@pytest.mark.parametrize("what", [KeyboardInterrupt, MemoryError])
def test_an_interrupt_and_a_full_memory_are_no_failed_evaluations(
    what: type[BaseException],
) -> None:
    def stop() -> Score:
        raise what

    with pytest.raises(what):
        attempt(stop, ONE)


def test_a_failed_score_stays_as_it_is() -> None:
    failed = Score.failed("invalid: from below")
    assert vars(attempt(lambda: failed, ONE)) == vars(failed)


def test_who_shares_the_expressed_genome() -> None:
    assert isinstance(Size(), OnExpressed)
    assert not isinstance(Problem(sphere), OnExpressed)
