import re
from dataclasses import replace

import numpy as np
import pytest

from evolve.errors import FitnessError
from evolve.genomes.program.program import Program
from fitness.harness import Bounds, Classification, Goal
from fitness.sandbox import Limits
from tests.contracts.fitness import FitnessContract
from tests.fitness.harness.tiny import LITERALS, START, data, linear, network

PLAIN = Classification(START, data(), rungs=(4,), limits=Limits(seconds=30))
WEIGHTS = 4 * 3 + 3


class TestClassification(FitnessContract):
    @pytest.fixture
    def fitness(self) -> Classification:
        return PLAIN

    @pytest.fixture
    def genomes(self) -> list[Program]:
        return [START, linear(4, 5, 3), linear(4, 6, 3)]

    @pytest.fixture
    def misfit(self) -> Program:
        return linear(5, 3)


def test_every_number_is_computed_here() -> None:
    (score,) = PLAIN.evaluate([START], 0, 1)
    assert score.error is None
    accuracy, parameters = score.values
    assert 0.6 < accuracy <= 1
    assert parameters == WEIGHTS + LITERALS
    assert score.metrics == {"epochs": 4.0, "samples": 240.0}
    assert score.samples is not None
    right, counted = score.samples
    assert right.shape == (60,)
    assert right.mean() == pytest.approx(accuracy)
    assert counted.tolist() == [parameters]
    assert score.heritage is None


def test_what_was_trained_is_kept_when_asked_for_and_is_where_a_child_begins() -> None:
    keeping = replace(PLAIN, keep_weights=True)
    (parent,) = keeping.evaluate([START], 0, 1)
    assert parent.heritage is not None
    assert {n: a.shape for n, a in parent.heritage.items()} == {"0.weight": (3, 4), "0.bias": (3,)}
    twin = replace(START, inherited=dict(parent.heritage), epochs=4)
    wide = replace(linear(4, 5, 3), inherited=dict(parent.heritage), epochs=4)
    child, other = keeping.evaluate([twin, wide], 0, 2)
    alone, scratch = keeping.evaluate([replace(START, epochs=0), linear(4, 5, 3)], 0, 2)
    assert child.metrics == {"epochs": 8.0, "samples": 480.0}
    assert child.heritage is not None
    assert alone.heritage is not None
    assert not np.array_equal(child.heritage["0.weight"], alone.heritage["0.weight"])
    assert other.values == scratch.values  # 0.weight and 0.bias are of other shapes there


def test_rungs_are_epochs() -> None:
    raced = replace(PLAIN, rungs=(1, 3))
    few, more = (raced.evaluate([START], rung, 1)[0] for rung in (0, 1))
    assert (few.metrics["epochs"], more.metrics["epochs"]) == (1.0, 3.0)


def test_latency_is_our_clock_on_the_box_that_predicts() -> None:
    timed = replace(PLAIN, goals=(Goal.LATENCY, Goal.ACCURACY))
    (score,) = timed.evaluate([START], 0, 1)
    assert [o.unit for o in timed.objectives] == ["ms", ""]
    assert score.values[0] > 0
    assert score.metrics["parameters"] == WEIGHTS + LITERALS


def test_beyond_the_budget_nothing_is_trained() -> None:
    tight = replace(PLAIN, bounds=Bounds(WEIGHTS + LITERALS))
    fits, over = tight.evaluate([START, linear(4, 3, 3)], 0, 1)
    assert fits.error is None
    assert over.error is not None
    assert over.error.startswith("invalid: 32 parameters (weights, and numbers in the source)")


def test_less_accuracy_than_the_bound_is_infeasible() -> None:
    strict = replace(PLAIN, bounds=Bounds(accuracy=1.5))
    (score,) = strict.evaluate([START], 0, 1)
    assert score.error is None
    assert score.violation == pytest.approx(1.5 - score.values[0])


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (linear(5, 3), "exception: while trying it on one batch: .*shapes on the meta device"),
        (linear(4, 2), r"expected \(16, 3\)"),
        (START.swapped({"rate": "RATE = 'fast'"}), "a few steps on one batch"),
        (network("def build():\n    while True: pass"), "timeout: while trying it on one batch"),
    ],
)
def test_each_step_of_the_ladder_says_its_name(program: Program, words: str) -> None:
    (score,) = replace(PLAIN, limits=Limits(seconds=3)).evaluate([program], 0, 1)
    assert score.values == ()
    assert score.error is not None
    assert re.search(words, score.error)


def test_a_program_of_another_start_is_refused() -> None:
    other = Program({"tiny.py": START.files["tiny.py"].replace("cross_entropy", "nll_loss")})
    (score,) = PLAIN.evaluate([other], 0, 1)
    assert score.error is not None
    assert score.error.startswith("invalid: the protected part differs")


def test_the_plan_says_what_is_scored() -> None:
    program, samples, isolation = PLAIN.plan()
    assert program == "program     tiny.py: network, rate"
    assert samples == "samples     60 to train on (4 epochs), 60 to score, 3 classes"
    assert isolation.startswith("isolation   ")


def test_goals_are_named_once() -> None:
    with pytest.raises(FitnessError, match="name each goal once"):
        replace(PLAIN, goals=(Goal.ACCURACY, Goal.ACCURACY))


def test_a_gpu_is_asked_for_with_the_limits() -> None:
    assert PLAIN.needs.gpus == 0
    assert replace(PLAIN, limits=Limits(gpu=True)).needs.gpus == 1
