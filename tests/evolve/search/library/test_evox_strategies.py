"""evox's strategies as searches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from evox.algorithms import CMAES, CSO, DE, ODE, PSO, SNES, OpenES
from evox.core import Algorithm, Problem
from evox.workflows import StdWorkflow

from evolve.errors import ExperimentError
from evolve.genomes.vector import Box, Vector, VectorLike
from evolve.score import Objective, Record, Score
from evolve.search.library import EvoxSearch, UnitBox
from evolve.search.library.evox_strategies import _penalised
from evolve.search.protocol import Search
from evolve.streams import Stream, rng_for
from tests.contracts.search import SearchContract, drive

BOX = Box.of([-1.0, 0.0, 0.25, -3.0], [2.0, 1.0, 0.25, 3.0], 4)  # one gene is closed
TEMPLATE = Vector(np.array([1.0, 0.5, 0.25, 1.0]), BOX)
LOSS = (Objective("distance"),)


def snes(unit: UnitBox) -> Algorithm:
    return SNES(pop_size=10, center_init=unit.center, sigma=0.2)


def pso(unit: UnitBox) -> Algorithm:
    return PSO(pop_size=10, lb=unit.low, ub=unit.high)


class OnVectors(SearchContract[Vector]):
    goal_births = 600

    def template(self) -> VectorLike:
        return TEMPLATE


class TestSNES(OnVectors):
    goal = 1e-3

    def search(self) -> Search[Vector]:
        return EvoxSearch(snes, TEMPLATE, LOSS, population=10)


class TestOpenES(OnVectors):
    def search(self) -> Search[Vector]:
        return EvoxSearch(
            lambda unit: OpenES(10, unit.center, 0.05, 0.05, optimizer="adam"),
            TEMPLATE,
            LOSS,
            population=10,
            founders=[TEMPLATE, TEMPLATE.at(BOX.low), TEMPLATE.at(BOX.high)],
        )


class TestPSO(OnVectors):
    """Draws in its constructor and has an `init_step`."""

    def search(self) -> Search[Vector]:
        return EvoxSearch(pso, TEMPLATE, LOSS, population=10)


class TestDE(OnVectors):
    def search(self) -> Search[Vector]:
        return EvoxSearch(
            lambda unit: DE(pop_size=10, lb=unit.low, ub=unit.high), TEMPLATE, LOSS, population=10
        )


class TestODE(OnVectors):
    """Evaluates twice in one step."""

    def search(self) -> Search[Vector]:
        return EvoxSearch(
            lambda unit: ODE(pop_size=10, lb=unit.low, ub=unit.high), TEMPLATE, LOSS, population=10
        )


@pytest.mark.filterwarnings("ignore:The use of `x.T`")  # evox's own
class TestCMAES(OnVectors):
    """Branches by `torch.cond`, outside of any compilation."""

    goal = 1e-3

    def search(self) -> Search[Vector]:
        return EvoxSearch(
            lambda unit: CMAES(unit.center, sigma=0.2, pop_size=10), TEMPLATE, LOSS, population=10
        )


class TestMaximised(OnVectors):
    objectives = (Objective("closeness", maximise=True),)

    def search(self) -> Search[Vector]:
        return EvoxSearch(snes, TEMPLATE, self.objectives, population=10)


def sphere(genome: Vector) -> Score:
    return Score((float(((genome.values - 0.25) ** 2).sum()),))


def test_is_what_evox_does_by_itself() -> None:
    """Two generations equal evox's own workflow, given the same draws and costs."""
    box = Box.of(0.0, 1.0, 4)
    template = Vector(np.full(4, 0.5), box)
    populations: list[np.ndarray] = []
    seeds: list[int] = [int(rng_for(0, 0, Stream.TELL).integers(2**63)) + 1]
    seeds += [int(rng_for(0, commit, Stream.TELL).integers(2**63)) for commit in (10, 20)]

    def inside(unit: UnitBox) -> Algorithm:  # never leaves the box: clipping plays no part
        return SNES(pop_size=10, center_init=unit.center, sigma=0.01)

    class Sphere(Problem):  # type: ignore[misc]
        def evaluate(self, pop: torch.Tensor) -> torch.Tensor:
            populations.append(pop.double().numpy())
            return torch.from_numpy(((populations[-1] - 0.25) ** 2).sum(1)).float()

    half, none = torch.full((4,), 0.5), torch.zeros(4)
    workflow = StdWorkflow(inside(UnitBox(half, none, none + 1)), Sphere())
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.default_generator.manual_seed(seed)
            workflow.step()
    search: EvoxSearch[Vector] = EvoxSearch(inside, template, LOSS, population=10)
    records = drive(search, 31, sphere)
    genes = np.array([record.genome.values for record in records[1:]])
    assert np.array_equal(genes, np.concatenate(populations))


def test_waits_for_founders_then_for_each_generation() -> None:
    founders = [TEMPLATE, TEMPLATE.at(BOX.low)]
    search: EvoxSearch[Vector] = EvoxSearch(snes, TEMPLATE, LOSS, population=3, founders=founders)
    assert [search.seen(birth) for birth in range(9)] == [0, 0, 2, 2, 2, 5, 5, 5, 8]
    with pytest.raises(ExperimentError, match="Birth 2 is of generation 0, but generation -1"):
        search.ask(2, rng_for(0, 2, Stream.ASK))


def test_starts_from_the_best_founder() -> None:
    centers: list[list[float]] = []

    def noted(unit: UnitBox) -> Algorithm:
        centers.append(unit.center.tolist())
        return snes(unit)

    founders = [TEMPLATE, TEMPLATE.at(np.full(4, 0.2)), TEMPLATE.at(BOX.high)]
    search: EvoxSearch[Vector] = EvoxSearch(noted, TEMPLATE, LOSS, 10, founders)
    drive(search, 4, sphere)
    expected = (np.array([0.2, 0.2, 0.25, 0.2]) - BOX.low) / np.array([3.0, 1.0, 1.0, 6.0])
    assert centers == [pytest.approx(expected.tolist(), rel=1e-6)]


def test_commit_order_within_a_generation_does_not_matter() -> None:
    """Free mode tells scores as they come; only the last tell's generator is drawn from."""
    forth: EvoxSearch[Vector] = EvoxSearch(snes, TEMPLATE, LOSS, population=10)
    back: EvoxSearch[Vector] = EvoxSearch(snes, TEMPLATE, LOSS, population=10)
    records = drive(forth, 11, sphere)
    for record in [records[0], *records[:0:-1]]:
        commit = 0 if record.birth == 0 else 10
        back.tell(record, rng_for(0, commit, Stream.TELL))
    rng = rng_for(0, 11, Stream.ASK)
    assert np.array_equal(back.ask(11, rng).genome.values, forth.ask(11, rng).genome.values)


def test_a_failed_evaluation_costs_the_worst_of_its_generation() -> None:
    scores = [Score((3.0,)), Score.failed("x"), Score((1.0,)), Score((0.0,), violation=2.0)]
    found = _penalised(scores, LOSS)
    assert found is not None
    assert found.tolist() == [3.0, 5.0, 1.0, 5.0]
    assert found.dtype == np.float32
    assert _penalised([Score.failed("x")] * 2, LOSS) is None
    huge = _penalised([Score((1e300,)), Score((2.0,))], LOSS)  # beyond float32: as if failed
    assert huge is not None
    assert huge.tolist() == [2.0, 2.0]


def test_a_generation_of_failures_is_drawn_anew_from_the_same_state() -> None:
    search: EvoxSearch[Vector] = EvoxSearch(snes, TEMPLATE, LOSS, population=10)
    records = drive(search, 31, lambda _: Score.failed("x"))
    genes = np.array([r.genome.values for r in records[1:]]).reshape(3, 10, 4)
    assert not np.array_equal(genes[0], genes[1])
    spread = genes.std(1) / np.where(BOX.high > BOX.low, BOX.high - BOX.low, 1.0)
    assert (spread[:, [0, 1, 3]] > 0.05).all()  # sigma has neither collapsed nor exploded


def test_records_of_others_are_left_alone() -> None:
    search: EvoxSearch[Vector] = EvoxSearch(snes, TEMPLATE, LOSS, population=10)
    stranger = Record(0, TEMPLATE, "0", Score((1.0,)))
    search.tell(stranger, rng_for(0, 0, Stream.TELL))
    with pytest.raises(ExperimentError, match="generation -1 is under way"):
        search.ask(1, rng_for(0, 1, Stream.ASK))


def test_population_must_be_what_the_strategy_evaluates() -> None:
    search: EvoxSearch[Vector] = EvoxSearch(snes, TEMPLATE, LOSS, population=12)
    with pytest.raises(ExperimentError, match=r"SNES.*shape \(10, 4\), expected \(12, 4\)"):
        drive(search, 2, sphere)


def test_population_must_stay_the_same() -> None:
    search: EvoxSearch[Vector] = EvoxSearch(
        lambda unit: CSO(pop_size=10, lb=unit.low, ub=unit.high), TEMPLATE, LOSS, population=10
    )
    with pytest.raises(ExperimentError, match=r"CSO.*shape \(5, 4\), expected \(10, 4\)"):
        drive(search, 30, sphere)


def test_settings_out_of_range() -> None:
    with pytest.raises(ExperimentError, match="one objective, got 2"):
        EvoxSearch(snes, TEMPLATE, LOSS * 2, population=10)
    with pytest.raises(ExperimentError, match="population is 0"):
        EvoxSearch(snes, TEMPLATE, LOSS, population=0)
