"""Optuna's samplers as searches."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import optuna
import pytest

from evolve.errors import ExperimentError
from evolve.genome import canonical
from evolve.genomes.vector import Box, Vector, VectorLike
from evolve.score import Objective, Record, Score
from evolve.search.library import OptunaSearch, gene_names
from evolve.search.protocol import Search
from evolve.streams import Stream, rng_for
from tests.contracts.search import SearchContract, drive

BOX = Box.of([-1.0, 0.0, 0.25, -3.0], [2.0, 1.0, 0.25, 3.0], 4)  # one gene is closed
TEMPLATE = Vector(np.array([1.0, 0.5, 0.25, 1.0]), BOX)
LOSS = (Objective("distance"),)
TWO = (Objective("distance"), Objective("closeness", maximise=True))


def tpe(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed)


def cma(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.CmaEsSampler(seed=seed)


def nsga2(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.NSGAIISampler(population_size=10, seed=seed)


class OnVectors(SearchContract[Vector]):
    def template(self) -> VectorLike:
        return TEMPLATE


class TestTPE(OnVectors):
    births = 40
    goal_births = 150

    def search(self) -> Search[Vector]:
        return OptunaSearch(tpe, TEMPLATE, LOSS)


class TestCMA(OnVectors):
    goal_births = 300
    goal = 1e-5

    def search(self) -> Search[Vector]:
        return OptunaSearch(cma, TEMPLATE, LOSS)


class TestCMAInAWindowAfterFounders(OnVectors):
    goal = 1e-3

    def search(self) -> Search[Vector]:
        founders = [TEMPLATE, TEMPLATE.at(BOX.high)]
        return OptunaSearch(cma, TEMPLATE, LOSS, window=5, founders=founders)


class TestNSGA2(OnVectors):
    objectives = TWO
    goal_births = 250
    goal = 0.2

    def search(self) -> Search[Vector]:
        return OptunaSearch(nsga2, TEMPLATE, TWO, window=3)


class TestTPEOnTwoObjectives(OnVectors):
    objectives = TWO
    births = 25
    goal_births = 100
    goal = 0.3

    def search(self) -> Search[Vector]:
        return OptunaSearch(tpe, TEMPLATE, TWO)


def sphere(genome: Vector) -> Score:
    return Score((float(((genome.values - 0.25) ** 2).sum()),))


def test_is_what_optuna_does_by_itself() -> None:
    """The same trials as a study of Optuna's own, given one fresh sampler an ask."""
    records = drive(OptunaSearch(cma, TEMPLATE, LOSS), 60, sphere)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    for birth in range(60):
        study.sampler = cma(int(rng_for(0, birth, Stream.ASK).integers(2**32)))
        trial = study.ask()
        genes = [
            trial.suggest_float(f"gene{i}", low, high)
            for i, (low, high) in enumerate(zip(BOX.low, BOX.high))
        ]
        study.tell(trial, float(((np.array(genes) - 0.25) ** 2).sum()))
        assert records[birth].genome.values.tolist() == genes


def test_cma_state_comes_back_through_the_facts() -> None:
    records = drive(OptunaSearch(cma, TEMPLATE, LOSS), 60, sphere)
    found = [r.facts["trial"] for r in records]
    generations = [t.get("cma:generation") for t in found if isinstance(t, dict)]
    assert generations[0] is None  # drawn uniformly
    assert generations[-1] == 8  # 4 + 3 ln 3 = 7 births each: three genes are free


def test_founders_come_first_in_a_window() -> None:
    founders = [TEMPLATE.at(BOX.low), TEMPLATE.at(BOX.high)]
    search: OptunaSearch[Vector] = OptunaSearch(tpe, TEMPLATE, LOSS, window=4, founders=founders)
    assert [search.seen(birth) for birth in range(6)] == [0, 0, 0, 0, 1, 2]
    rng = rng_for(0, 0, Stream.ASK)
    assert [search.ask(i, rng).genome for i in range(2)] == founders
    assert search.ask(0, rng).operator == "founder"
    assert search.ask(2, rng).operator == "TPESampler"


def test_violations_reach_the_sampler() -> None:
    """Where gene 0 > 0, the best points lie; forbidden, TPE leaves them."""

    def fenced(genome: Vector) -> Score:
        return Score(sphere(genome).values, violation=max(0.0, float(genome.values[0])))

    def share_beyond(evaluate: Callable[[Vector], Score]) -> float:
        records = drive(OptunaSearch(tpe, TEMPLATE, LOSS), 100, evaluate)
        return float(np.mean([fenced(record.genome).violation > 0 for record in records[50:]]))

    assert share_beyond(sphere) > 0.7  # 0.67 by chance
    assert share_beyond(fenced) < 0.5


def test_the_grid_that_was_scored_is_what_the_sampler_learns() -> None:
    class Snapped(Vector):
        def at(self, values: np.ndarray) -> Snapped:
            return Snapped(np.round(values, 1), self.box)

    seen: list[dict[str, float]] = []

    class Spy(optuna.samplers.RandomSampler):
        def infer_relative_search_space(
            self, study: optuna.Study, trial: optuna.trial.FrozenTrial
        ) -> dict[str, optuna.distributions.BaseDistribution]:
            seen[:] = [
                t.params for t in study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
            ]
            return super().infer_relative_search_space(study, trial)

    box = Box.of(0.0, 1.0, 2)
    template = Snapped(np.zeros(2), box)
    search: OptunaSearch[Snapped] = OptunaSearch(lambda seed: Spy(seed=seed), template, LOSS)
    told = []
    for birth in range(4):
        genome = search.ask(birth, rng_for(0, birth, Stream.ASK)).genome
        search.tell(
            Record(birth, genome, str(birth), Score((1.0,))), rng_for(0, birth, Stream.TELL)
        )
        told.append(genome.values.tolist())
    assert [list(params.values()) for params in seen] == told[:3]


def test_facts_are_small_and_json() -> None:
    records = drive(OptunaSearch(cma, TEMPLATE, LOSS), 60, sphere)
    sizes = sorted(len(canonical(record.facts)) for record in records)
    assert sizes[len(sizes) // 2] < 100  # CMA-ES writes its state once a generation only
    assert sizes[-1] < 10_000


def test_importing_it_loads_no_library() -> None:
    code = (
        "import sys, evolve.search.library; "
        "print([m for m in ('torch', 'optuna', 'evox') if m in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "[]"


def test_settings_out_of_range() -> None:
    with pytest.raises(ExperimentError, match="window is 0; give 1 or more"):
        OptunaSearch(tpe, TEMPLATE, LOSS, window=0)
    with pytest.raises(ExperimentError, match="no objectives"):
        OptunaSearch(tpe, TEMPLATE, ())
    stranger = Vector(np.zeros(2), Box.of(0.0, 1.0, 2))
    with pytest.raises(ExperimentError, match="founder has 2 genes, the template 4"):
        OptunaSearch(tpe, TEMPLATE, LOSS, founders=[stranger])


def test_gene_names_sort_as_the_genes() -> None:
    for d in (1, 9, 10, 11, 101):
        names = gene_names(d)
        assert len(set(names)) == d
        assert list(names) == sorted(names)
