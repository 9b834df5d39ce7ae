import math
from collections.abc import Mapping

import pytest

from evolve.errors import FitnessError
from evolve.genomes.program.program import Program
from evolve.score import Objective
from fitness.harness import Single
from fitness.sandbox import Limits
from tests.contracts.fitness import FitnessContract

START = Program(
    {
        "make.py": "# EVOLVE-BLOCK-START value\nVALUE = 2.0\n# EVOLVE-BLOCK-END\n"
        "def make(seed):\n    return {'value': VALUE}\n"
    }
)


def verify(value: object) -> Mapping[str, float] | str:
    if not isinstance(value, Mapping) or not isinstance(value.get("value"), float):
        return f"expected a float, got {value!r:.40}"
    return {"value": value["value"], "half": value["value"] / 2}


def single() -> Single:
    return Single(START, "make", verify, (Objective("value"),), Limits(seconds=20))


def value(text: str) -> Program:
    return START.swapped({"value": f"VALUE = {text}"})


class TestSingle(FitnessContract):
    @pytest.fixture
    def fitness(self) -> Single:
        return single()

    @pytest.fixture
    def genomes(self) -> list[Program]:
        return [START, value("3.0"), value("4.0")]

    @pytest.fixture
    def misfit(self) -> Program:
        return value("'no'")


def test_what_the_verifier_measures_is_the_score() -> None:
    (score,) = single().evaluate([START], 0, 1)
    assert score.values == (2.0,)
    assert score.metrics == {"half": 1.0}
    assert score.notes["isolation"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("'x'", "invalid: expected a float, got {'value': 'x'}"),
        ("float('nan')", "invalid: 'value' is no finite number"),
        ("float('inf')", "invalid: 'value' is no finite number"),
        ("1 / 0", "exception: while running it: ZeroDivisionError"),
    ],
)
def test_everything_else_is_refused(text: str, words: str) -> None:
    (score,) = single().evaluate([value(text)], 0, 1)
    assert score.error is not None
    assert score.error.startswith(words)


def test_a_verifier_that_forgets_nan_is_caught() -> None:
    fitness = Single(START, "make", lambda _: {"value": math.nan}, (Objective("value"),))
    (score,) = fitness.evaluate([START], 0, 1)
    assert score.error == "invalid: 'value' is no finite number"


def test_an_objective_is_needed() -> None:
    with pytest.raises(FitnessError, match="name what `verify` measures"):
        Single(START, "make", verify, ())


def test_the_plan_names_program_and_isolation() -> None:
    program, run, isolation = single().plan()
    assert program == "program     make.py: value"
    assert run == "one run     at most 20 s"
    assert isolation.startswith("isolation   ")
