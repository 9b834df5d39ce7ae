"""Stints: the contract, what they carry on, what they leave alone, what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from evox.algorithms import NSGA2 as EvoxNSGA2
from evox.core import Algorithm, Problem
from evox.problems.numerical import DTLZ3
from torch import Tensor

from evolve.errors import FitnessError
from evolve.genomes.island import Island
from evolve.score import Score
from fitness.stint import Stint
from operators.selection import NSGA2
from operators.tensor import NSGA3, Evolution
from tests.contracts.fitness import FitnessContract
from tests.contracts.operator import global_dice
from tests.evolve.engine.stints import algorithm, problem, stint

REFERENCE = (2.0, 2.0, 2.0)


def founders(n: int) -> list[Island]:
    return [Island(i, 0, {}) for i in range(n)]


def scored(fitness: Stint, genome: Island, seed: int = 0) -> Score:
    (score,) = fitness.evaluate([genome], 0, seed)
    return score


def after(fitness: Stint, genome: Island) -> Island:
    """The same island before its next stint."""
    score = scored(fitness, genome)
    assert score.heritage is not None, score.error
    return Island(genome.island, genome.stint + 1, score.heritage)


class TestContract(FitnessContract):
    @pytest.fixture
    def fitness(self) -> Stint:
        return stint(generations=3)

    @pytest.fixture
    def genomes(self, fitness: Stint) -> list[Island]:
        first = founders(2)
        return [*first, *(after(fitness, genome) for genome in first)]

    @pytest.fixture
    def misfit(self) -> Island:
        return Island(0, 1, {"pop": np.zeros((4, 2)), "fit": np.zeros((4, 3))})


def nsga3() -> Evolution:
    low = torch.zeros(7, dtype=torch.float64)
    return NSGA3(20, 3, low, low + 1)


def test_a_stint_is_its_generations_and_a_founders_first_is_its_evaluation() -> None:
    for genome in (founders(1)[0], after(stint(4), founders(1)[0])):
        score = scored(stint(4), genome)
        assert score.metrics["evaluations"] == 4 * 16
        assert 1 <= score.metrics["front"] <= 16


def test_the_heritage_is_the_whole_state_and_the_score_its_hypervolume() -> None:
    score = scored(Stint(nsga3, problem, 6, REFERENCE), founders(1)[0])
    heritage = score.heritage
    assert heritage is not None
    expected = set(nsga3().state_dict())
    assert set(heritage) == expected > {"pop", "fit"}
    assert heritage["pop"].shape == (20, 7)
    assert heritage["pop"].dtype == np.float64
    costs = problem().evaluate(torch.from_numpy(heritage["pop"])).numpy()
    assert np.array_equal(costs, heritage["fit"])
    assert score.values[0] == pytest.approx(sampled_volume(heritage["fit"]), rel=0.02)


def sampled_volume(fit: np.ndarray) -> float:
    """Of the box from 0 to `REFERENCE`, by counting points of a grid that are dominated."""
    side = (np.arange(40) + 0.5) / 20
    grid = np.stack(np.meshgrid(side, side, side), -1).reshape(-1, 3)
    return float((fit[:, None] <= grid).all(2).any(0).mean() * 8)


def test_the_next_stint_begins_with_the_state_of_the_last() -> None:
    """Under a problem where every child is worse than its parents, all parents live."""
    fitness = Stint(nsga3, problem, 5, REFERENCE)
    second = after(fitness, founders(1)[0])
    still = replace(fitness, problem=Still)
    third = after(still, second)
    assert np.array_equal(np.sort(third.arrays["pop"], 0), np.sort(second.arrays["pop"], 0))
    ideal = np.minimum(second.arrays["memory.ideal"], third.arrays["fit"].min(0))
    assert np.array_equal(third.arrays["memory.ideal"], ideal)


class Still(Problem):  # type: ignore[misc]  # evox has no types
    """Every point is worse than anything that DTLZ2 gives."""

    def evaluate(self, pop: Tensor) -> Tensor:
        return torch.full((len(pop), 3), 1e3, dtype=torch.float64)


def test_populations_get_better_from_stint_to_stint() -> None:
    fitness, island, volumes = stint(15), founders(1)[0], []
    for _ in range(4):
        island, volume = after(fitness, island), scored(fitness, island).values[0]
        volumes.append(volume)
    assert volumes[-1] > volumes[0]
    assert volumes[-1] > 0.95 * (8 - np.pi / 6)  # what the whole octant of the sphere leaves


def test_the_seed_and_the_genome_decide() -> None:
    zero, other = founders(2)
    values = {
        scored(stint(), zero).values,
        scored(stint(), other).values,
        scored(stint(), Island(0, 1, {})).values,
        scored(stint(), zero, seed=1).values,
    }
    assert len(values) == 4


def test_it_leaves_the_global_streams_alone() -> None:
    before = global_dice()
    scored(stint(), founders(1)[0])
    assert global_dice() == before


def low() -> Tensor:
    return torch.zeros(7)


def evox_nsga2() -> Algorithm:
    return EvoxNSGA2(12, 3, low(), low() + 1)


def test_evoxs_own_algorithms_run_too_and_keep_their_dtypes() -> None:
    fitness = Stint(evox_nsga2, problem, 2, REFERENCE)
    first = after(fitness, founders(1)[0])
    second = after(fitness, first)
    assert set(first.arrays) == {"pop", "fit", "rank", "dis"}
    assert first.arrays["pop"].dtype == np.float32
    assert [second.arrays[n].dtype for n in first.arrays] == [
        a.dtype for a in first.arrays.values()
    ]


def test_dtlz3_of_evox_is_exact_in_float64() -> None:
    points = torch.rand(50, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points[:, 2:] = 0.5
    costs = DTLZ3(12, 3).evaluate(points)
    assert costs.dtype == torch.float64
    assert torch.allclose((costs**2).sum(1), torch.ones(50, dtype=torch.float64), atol=1e-12)


def test_infinite_costs_count_nothing() -> None:
    score = scored(Stint(algorithm, Nowhere, 2, REFERENCE), founders(1)[0])
    assert score.error is None
    assert score.values == (0.0,)
    assert score.metrics["front"] == 0


class Nowhere(Problem):  # type: ignore[misc]  # evox has no types
    def evaluate(self, pop: Tensor) -> Tensor:
        return torch.full((len(pop), 3), torch.inf, dtype=torch.float64)


class Broken(Problem):  # type: ignore[misc]  # evox has no types
    def evaluate(self, pop: Tensor) -> Tensor:
        raise RuntimeError("the simulator fell over")


class Blind(Algorithm):  # type: ignore[misc]  # evox has no types
    """Keeps no population."""

    def step(self) -> None:
        self.evaluate(torch.rand(3, 7))


def test_what_goes_wrong_is_data() -> None:
    genome = founders(1)[0]
    fell = scored(Stint(algorithm, Broken, 2, REFERENCE), genome)
    assert fell.error == "exception: RuntimeError: the simulator fell over"
    blind = scored(Stint(Blind, problem, 2, REFERENCE), genome)
    assert str(blind.error).startswith("invalid: Blind has no buffer fit and no pop")
    narrow = scored(Stint(algorithm, problem, 2, (1.0, 1.0)), genome)
    assert narrow.error == (
        "invalid: The algorithm's fit is (16, 3), Stint.reference has 2 costs; give one an "
        "objective."
    )
    foreign = Island(0, 1, {"pop": np.zeros((3, 7)), "fit": np.zeros((3, 3))})
    assert "not one of Evolution: " in str(scored(stint(), foreign).error)


def coarse() -> Evolution:
    low = torch.zeros(7, dtype=torch.bfloat16)
    return Evolution(8, 3, low, low + 1, NSGA2())


class Coarse(Problem):  # type: ignore[misc]  # evox has no types
    def evaluate(self, pop: Tensor) -> Tensor:
        return pop[:, :3].bfloat16()


def single() -> Evolution:
    return Evolution(8, 3, low(), low() + 1, NSGA2())


def test_a_dtype_that_numpy_does_not_have_is_refused_by_name() -> None:
    genome = founders(1)[0]
    pop = scored(Stint(coarse, Untouched, 2, REFERENCE), genome)
    assert str(pop.error).startswith("invalid: The algorithm keeps `pop` in torch.bfloat16")
    assert "float32" in str(pop.error)
    fit = scored(Stint(single, Coarse, 2, REFERENCE), genome)
    assert str(fit.error).startswith("invalid: The algorithm keeps `fit` in torch.bfloat16")


class Untouched(Problem):  # type: ignore[misc]  # evox has no types
    def evaluate(self, pop: Tensor) -> Tensor:
        raise AssertionError("refused before any work")


def test_a_missing_gpu_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    score = scored(replace(stint(), device="cuda"), founders(1)[0])
    assert str(score.error).startswith("invalid: Stint.device is 'cuda', but this process sees no")


def test_a_wrong_declaration_is_refused() -> None:
    with pytest.raises(FitnessError, match="generations is 0"):
        stint(0)
    for generations in (2.5, True):
        with pytest.raises(FitnessError, match=f"generations is {generations}; give an int"):
            stint(generations)  # type: ignore[arg-type]
    with pytest.raises(FitnessError, match="two or more"):
        Stint(algorithm, problem, 1, reference=(1.0,))
    with pytest.raises(FitnessError, match="finite cost"):
        Stint(algorithm, problem, 1, reference=(1.0, np.inf))


@pytest.mark.gpu
def test_a_stint_on_the_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("NO GPU: no stint was run on CUDA")
    fitness = Stint(nsga3, problem, 5, REFERENCE, device="cuda")
    before = torch.cuda.get_rng_state()
    first = founders(1)[0]
    assert scored(fitness, first).values == scored(fitness, first).values
    second = after(fitness, after(fitness, first))
    assert set(second.arrays) == set(nsga3().state_dict())
    assert torch.equal(torch.cuda.get_rng_state(), before)
