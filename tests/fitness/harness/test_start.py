import pytest

from evolve.errors import FitnessError
from evolve.genomes.program.program import Program
from fitness.harness import Classification, check_start
from fitness.harness.box import Refused
from tests.fitness.harness.tiny import START, data, network


class Counted:
    """Tries nothing, and counts."""

    def __init__(self, error: str = "") -> None:
        self.calls, self.error = 0, error

    def admit(self, program: Program) -> None:
        self.calls += 1
        if self.error:
            raise Refused(self.error, {"detail": "line 3 of it"})


def test_a_start_is_tried_once_a_process() -> None:
    fitness = Counted()
    assert check_start(START, fitness) is START
    assert check_start(START, fitness) is START
    assert fitness.calls == 1


def test_a_start_that_fails_is_one_clear_error() -> None:
    with pytest.raises(FitnessError) as error:
        check_start(START, Counted("exception: no good"))
    assert str(error.value) == (
        "The start program tiny.py fails: exception: no good. Repair it first; nothing was run.\n"
        "line 3 of it"
    )


def test_in_a_real_box() -> None:
    broken = network("def build():\n    return nn.Linear(4, 4)\n")
    with pytest.raises(FitnessError, match=r"The start program tiny.py fails: .*expected"):
        check_start(broken, Classification(broken, data()))
