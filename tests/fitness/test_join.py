from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from evolve.errors import FitnessError
from evolve.genome import Genome
from evolve.genomes.vector import Vector
from evolve.score import Needs, Objective, Score
from fitness.cost import BYTES, PARAMETERS, Size
from fitness.function import maximise, objectives
from fitness.join import Join, Limit, Mean
from fitness.language import LanguageLoss
from fitness.problems import Problem, dtlz2, sphere
from tests.contracts.fitness import FitnessContract
from tests.fitness.test_problems import vectors
from tests.fitness.tiny import Shifted, tokens


@objectives(maximise("first"), constraints=["negative"])
def first(model: np.ndarray) -> dict[str, float]:
    return {"first": float(model[0]), "negative": -float(model[0]), "seen": 1.0}


@dataclass(frozen=True)
class Rich:
    """Everything that a score can hold, and a count of its calls."""

    name: str
    calls: list[tuple[int, int]] = field(default_factory=list)  # genomes, rung
    rungs: tuple[int, ...] = (4,)
    needs: Needs = field(default_factory=Needs)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return (Objective(self.name),)

    def evaluate(self, genomes: Sequence[Vector], rung: int, seed: int) -> list[Score]:
        self.calls.append((len(genomes), rung))
        return [self._score(float(genome.values[0])) for genome in genomes]

    def _score(self, x: float) -> Score:
        return Score(
            (x,),
            violation=0.25,
            measures=(x, x + 1),
            metrics={"metric": x},
            notes={"note": self.name},
            samples=(np.full(3, x, dtype=np.float32),),
            heritage={"weights": np.full(2, x)},
        )


class TestContract(FitnessContract):
    @pytest.fixture(params=["vectors", "mean"])
    def fitness(self, request: pytest.FixtureRequest) -> Join[Vector] | Mean[Vector]:
        joined = Join((Problem(dtlz2, 2), first), (Limit(Problem(sphere), "f1", at_most=1.0),))
        return joined if request.param == "vectors" else Mean(Problem(dtlz2, 3))

    @pytest.fixture
    def genomes(self) -> list[Vector]:
        return vectors()


class TestContractOnModels(FitnessContract):
    @pytest.fixture
    def fitness(self, llama: Path) -> Join[Genome]:
        loss = LanguageLoss(llama, {"prose": tokens(4)}, rungs=(1, 4))
        return Join((loss, Size((PARAMETERS,))), (Limit(loss, "prose", at_most=1.0),))

    @pytest.fixture
    def genomes(self, shifted: list[Shifted]) -> list[Shifted]:
        return shifted

    @pytest.fixture
    def misfit(self) -> Vector:
        return vectors(1)[0]


@dataclass(frozen=True)
class Counted:
    """A genome that counts how often it is expressed."""

    inner: Shifted
    counts: list[int]

    def express(self) -> object:
        self.counts.append(1)
        return self.inner.express()


def test_a_genome_is_expressed_once(llama: Path, shifted: list[Shifted]) -> None:
    loss = LanguageLoss(llama, {"prose": tokens()})
    joined = Join((loss, Size((BYTES,))), (Limit(Size(), "parameters", at_most=1.0),))
    genome = Counted(shifted[0], [])
    score = joined.evaluate([genome], 0, 0)[0]  # type: ignore[list-item]
    assert len(genome.counts) == 1
    assert score.error is None
    assert score.values == (
        *loss.evaluate(shifted[:1], 0, 0)[0].values,
        *Size((BYTES,)).evaluate(shifted[:1], 0, 0)[0].values,
    )
    n = score.metrics["parameters"]
    assert score.violation == n - 1
    assert score.samples is None  # Size has none


def test_a_function_cannot_spoil_what_the_others_see(shifted: list[Shifted]) -> None:
    @objectives(maximise("vandalism"))
    def vandal(model: dict[str, float]) -> float:
        model.clear()
        return 1.0

    joined = Join((vandal, Size((PARAMETERS,))))
    assert joined.evaluate(shifted[:1], 0, 0)[0].values[1] > 0


def test_everything_of_the_parts_is_kept() -> None:
    a, b, limit = Rich("a"), Rich("b"), Rich("c")
    genome = vectors(1)[0]
    x = float(genome.values[0])
    joined = Join((a, b), (Limit(limit, "c", at_least=x + 1),))
    score = joined.evaluate([genome], 0, 0)[0]
    assert score.values == (x, x)
    assert score.violation == pytest.approx(0.75 + 1 / (x + 1))
    assert score.measures == (x, x + 1, x, x + 1)
    assert dict(score.metrics) == {"metric": x, "metric.2": x, "metric.3": x, "c": x}
    assert dict(score.notes) == {"note": "a", "note.2": "b", "note.3": "c"}
    assert score.samples is not None
    assert [array.tolist() for array in score.samples] == [[np.float32(x)] * 3] * 2
    assert score.heritage is not None
    assert sorted(score.heritage) == ["weights", "weights.2", "weights.3"]


def test_a_fitness_named_twice_is_evaluated_once_and_in_batches() -> None:
    rich = Rich("a")
    joined = Join((rich,), (Limit(rich, "a", at_most=0.5), Limit(rich, "a", at_least=0.1)))
    scores = joined.evaluate(vectors(3), 0, 0)
    assert rich.calls == [(3, 0)]
    assert "a" not in scores[0].metrics


def test_limits_are_relative_to_their_bound() -> None:
    rich = Rich("a")
    cases = [
        (Limit(rich, "a", at_most=2.0), 3.0, 0.5),
        (Limit(rich, "a", at_most=2.0), 2.0, 0.0),
        (Limit(rich, "a", at_most=0.0), 3.0, 3.0),
        (Limit(rich, "a", at_least=-2.0), -3.0, 0.5),
        (Limit(rich, "a", at_least=1.0, at_most=2.0), 1.5, 0.0),
    ]
    for limit, value, violation in cases:
        assert limit.violation(Score((value,))) == violation


def test_rungs_go_to_those_that_have_them() -> None:
    one, two = Rich("a"), Rich("b", rungs=(2, 4))
    joined = Join((one, two))
    assert joined.rungs == (2, 4)
    joined.evaluate(vectors(1), 1, 0)
    assert (one.calls, two.calls) == ([(1, 0)], [(1, 1)])
    with pytest.raises(FitnessError, match="the same number of rungs"):
        Join((two, Rich("c", rungs=(1, 2, 3))))


def test_needs_cover_all_parts() -> None:
    a = Rich("a", needs=Needs(cpus=2, memory=5, batch=4, timeout=10))
    b = Rich("b", needs=Needs(gpus=1, memory=7, batch=2, timeout=20))
    assert Join((a, b)).needs == Needs(cpus=2, gpus=1, memory=12, batch=2, timeout=30)
    assert Join((a, replace(b, needs=Needs()))).needs.timeout is None


def test_the_failure_of_a_part_is_the_whole_s() -> None:
    @objectives(maximise("never"))
    def never(model: np.ndarray) -> float:
        raise OSError("disk on fire")

    score = Join((Rich("a"), never)).evaluate(vectors(1), 0, 0)[0]
    assert score.error == "exception: OSError: disk on fire"
    assert "disk on fire" in score.notes["traceback"]


def test_mean_of_objectives() -> None:
    mean = Mean(Join((Rich("a"), Rich("b"))), name="both")
    genome = vectors(1)[0]
    x = float(genome.values[0])
    score = mean.evaluate([genome], 0, 0)[0]
    assert mean.objectives == (Objective("both"),)
    assert score.values == (x,)
    assert (score.metrics["a"], score.metrics["b"]) == (x, x)
    assert score.samples is not None
    assert score.samples[0].shape == (6,)
    assert mean.evaluate([vectors(1)[0]], 0, 0)[0].measures == (x, x + 1, x, x + 1)
    with pytest.raises(FitnessError, match="share direction and unit"):
        Mean(Join((Rich("a"), first)))


def test_wrong_joins_are_refused() -> None:
    rich = Rich("a")
    with pytest.raises(FitnessError, match=r"the objectives \(a, a\)"):
        Join((rich, Rich("a")))
    with pytest.raises(FitnessError, match=r"the objectives \(\)"):
        Join(())
    with pytest.raises(FitnessError, match="names the objective 'b', its fitness has a"):
        Limit(rich, "b", at_most=1.0)
    with pytest.raises(FitnessError, match="give at_most or at_least"):
        Limit(rich, "a")


def test_the_plan_is_what_the_parts_say() -> None:
    class Telling(Rich):
        def plan(self) -> list[str]:
            return [f"{self.name} takes long"]

    assert Join((Rich("a"), Telling("b"), Telling("c"))).plan() == ["b takes long", "c takes long"]
    assert Join((Rich("a"),)).plan() == []
