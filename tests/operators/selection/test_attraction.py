from __future__ import annotations

import numpy as np
import pytest
import torch

from evolve.archive.population import Population
from evolve.genome import digest
from evolve.genomes.vector import Box, Vector
from evolve.score import Objective, Record, Score
from evolve.streams import Stream, rng_for
from operators.selection.attraction import Attraction
from operators.selection.truncation import Truncation
from tests.contracts.mating import MatingContract
from tests.oracles import attraction as oracle

EPS = 1e-6


class TestContract(MatingContract):
    def mating(self) -> Attraction:
        return Attraction((True, True))


class TestContractOfLosses(MatingContract):
    def mating(self) -> Attraction:
        return Attraction((False, True))


class TestContractOfOneObjective(MatingContract):
    n_objectives = 1

    def mating(self) -> Attraction:
        return Attraction((False,))


def pairs(mating: Attraction, samples: list[np.ndarray], n: int = 4000) -> np.ndarray:
    """(n, n) share of each (A, B)."""
    rows, generator = len(samples[0]), torch.Generator().manual_seed(0)
    costs = torch.zeros((rows, len(samples)))
    table = np.zeros((rows, rows))
    for _ in range(n):
        a, b = mating(costs, samples, 2, generator=generator).tolist()
        table[a, b] += 1 / n
    return table


def expected_pairs(scores: list[np.ndarray]) -> np.ndarray:
    """The same from the formulas in loops, where every A finds someone attractive."""
    lists = [part.astype(float).tolist() for part in scores]
    fitness = np.array(oracle.shared(lists, EPS))
    pull = np.array([oracle.attraction(lists, i, EPS) for i in range(len(fitness))])
    assert (pull.sum(1) > 0).all()
    shares: np.ndarray = (fitness / fitness.sum())[:, None] * pull / pull.sum(1, keepdims=True)
    return shares


def test_binary_scores_mate_as_in_the_paper() -> None:
    solved = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 0], [1, 0, 0, 0, 1, 0]], np.float32)
    found = pairs(Attraction((True,), EPS), [solved])
    np.testing.assert_allclose(found, expected_pairs([solved]), atol=0.03)


@pytest.mark.parametrize("seed", range(2))
def test_random_scores_and_losses_mate_as_the_oracle_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gains = rng.random((4, 7)).astype(np.float32)
    gains /= gains.max()
    losses = rng.gamma(2.0, size=(4, 3)).astype(np.float32)
    found = pairs(Attraction((True, False), EPS), [gains, losses])
    scores = [gains, np.array(oracle.of_losses(losses.astype(float).tolist()))]
    np.testing.assert_allclose(found, expected_pairs(scores), atol=0.03)


def parents(
    samples: list[np.ndarray], maximise: tuple[bool, ...], n: int = 60, seed: int = 0
) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    costs = torch.zeros((len(samples[0]), len(samples)))
    return Attraction(maximise)(costs, samples, n, generator=generator).tolist()


def test_later_parents_are_attracted_to_the_first() -> None:
    """Three specialists and a weaker copy of each: no mate that offers A nothing."""
    skills = np.eye(3, dtype=np.float32)
    both = np.concatenate([skills, skills / 2])
    for seed in range(10):
        first, *mates = parents([both], (True,), seed=seed)
        assert first % 3 not in {mate % 3 for mate in mates} or first >= 3
        assert first not in mates
        assert len(set(mates)) >= 4


def test_losses_and_their_negatives_as_scores_agree_on_who_helps() -> None:
    losses = np.array([[0.1, 9.0], [9.0, 0.1], [9.5, 9.5]], np.float32)
    for part, maximise in ((losses, False), (-losses, True)):
        table = pairs(Attraction((maximise,)), [part], 500)
        assert table[0, 1] + table[1, 0] > 0.8


@pytest.mark.parametrize("factor", [1e-30, 1e-3, 1e30])
@pytest.mark.parametrize("maximise", [True, False])
def test_the_unit_of_samples_does_not_matter(factor: float, maximise: bool) -> None:
    samples = np.random.default_rng(0).random((8, 20))
    again = parents([samples * factor], (maximise,))
    assert again == parents([samples], (maximise,))


@pytest.mark.parametrize("maximise", [True, False])
def test_the_widest_range_does_not_overflow(maximise: bool) -> None:
    samples = np.random.default_rng(0).random((8, 20)) * 3.4 - 1.7
    samples[::2, 0], samples[1::2, 0] = -1.7, 1.7  # the median is the mean of two of the largest
    samples[:, 1:] = samples[:, :1]
    again = parents([samples * 2.0**1023], (maximise,))
    assert again == parents([samples], (maximise,))


def test_hard_samples_do_not_drown_easy_ones() -> None:
    losses = np.random.default_rng(0).random((8, 20))
    assert parents([losses + 1000 * np.arange(20)], (False,)) == parents([losses], (False,))


def test_a_diverged_candidate_does_not_level_the_others() -> None:
    losses = np.random.default_rng(0).random((8, 200))
    losses[:, 0] = 0.0
    losses[3] -= 0.9  # the best by far
    worse = losses.copy()
    worse[7] = 1e30
    for table in (losses, worse):
        firsts = [parents([table], (False,), 1, seed)[0] for seed in range(300)]
        assert firsts.count(3) > 60  # 300 / 8 = 38 if levelled
    assert 7 not in [parents([worse], (False,), 1, seed)[0] for seed in range(300)]


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("maximise", [True, False])
def test_a_broken_candidate_is_not_drawn(broken: float, maximise: bool) -> None:
    samples = np.random.default_rng(0).random((5, 6))
    samples[2] = broken
    samples[:, 4] = broken
    assert all(2 not in parents([samples], (maximise,), 20, seed) for seed in range(20))


@pytest.mark.parametrize("value", [0.0, 1.0, -2.0, np.nan, np.inf, 1.7e308])
@pytest.mark.parametrize("maximise", [True, False])
def test_equals_mate_with_any_other(value: float, maximise: bool) -> None:
    samples = np.full((4, 3), value)
    table = pairs(Attraction((maximise,)), [samples], 2000)
    expected = (1 - np.eye(4)) / 12
    np.testing.assert_allclose(table, expected, atol=0.03)


def test_one_that_beats_all_still_finds_a_mate() -> None:
    samples = np.array([[1.0, 1.0], [0.5, 0.0], [0.0, 0.0]])
    table = pairs(Attraction((True,)), [samples], 500)
    assert table[0, 1] == pytest.approx(table[0].sum())  # by shared fitness, where none attracts


@pytest.mark.parametrize("maximise", [True, False])
def test_samples_of_a_population_keep_their_sign(maximise: bool) -> None:
    """Two specialists and a third that is bad at all: it neither leads nor attracts."""
    rows = np.array([[0.9, 0.9, 0.0, 0.0], [0.0, 0.0, 0.9, 0.9], [0.0, 0.0, 0.0, 0.0]], np.float32)
    samples = rows if maximise else 1 - rows
    population: Population[Vector] = Population(3, Truncation(), [Objective("skill", maximise)])
    records = []
    for birth, row in enumerate(samples):
        genome = Vector(np.full(2, birth / 4), Box.of(0.0, 1.0, 2))
        score = Score((float(row.mean()),), samples=(row,))
        records.append(Record(birth, genome, digest(genome), score))
    population.admit(records, rng_for(0, 0, Stream.TELL))
    drawn = [
        population.parents(Attraction((maximise,)), 2, rng_for(0, birth, Stream.ASK))
        for birth in range(200)
    ]
    pairs = [(a.birth, b.birth) for a, b in drawn]
    assert pairs.count((0, 1)) + pairs.count((1, 0)) > (199 if maximise else 140)


def test_refusals() -> None:
    costs, generator = torch.zeros((3, 1)), torch.Generator().manual_seed(0)
    mating = Attraction((False,))
    with pytest.raises(ValueError, match=r"samples=None.*Tournament\(\)"):
        mating(costs, None, 2, generator=generator)
    for samples in ([], [np.zeros((2, 5))], [np.zeros(3)], [np.zeros((3, 0))]):
        with pytest.raises(ValueError, match=r"expected 1 array\(s\) \(3, s_i\)"):
            mating(costs, samples, 2, generator=generator)
    with pytest.raises(ValueError, match="one bool an objective"):
        Attraction((True, False))(costs, [np.zeros((3, 2))], 2, generator=generator)
    for maximise in ((), [True], (1,), True):
        with pytest.raises(ValueError, match="maximise="):
            Attraction(maximise)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="eps"):
        Attraction((True,), eps=0.0)


@pytest.mark.gpu
def test_rows_lie_with_the_costs() -> None:
    if not torch.cuda.is_available():
        pytest.skip("NO GPU: attraction was not asked with costs on CUDA")
    samples = [np.random.default_rng(0).random((5, 6))]
    rows = Attraction((True,))(
        torch.zeros((5, 1)).cuda(), samples, 3, generator=torch.Generator().manual_seed(0)
    )
    assert rows.device.type == "cuda"
