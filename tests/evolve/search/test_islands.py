"""Islands: the contract, who meets whom, what moves, failures, and equal runs everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import pytest
import torch
from evox.problems.numerical import DTLZ1

import evolve
from evolve.errors import ExperimentError
from evolve.genome import digest
from evolve.genomes.island import Island
from evolve.score import Objective, Record, Score
from evolve.search.islands import Islands, RandomGraph, population
from evolve.search.protocol import window_of
from evolve.streams import Stream, rng_for
from fitness.stint import Stint
from operators.selection import NSGA3, Truncation, das_dennis
from tests.contracts.search import SearchContract, drive
from tests.evolve.engine.stints import N_GENES as N_GENES_DTLZ
from tests.evolve.engine.stints import algorithm, islands, search, stint

ONE = (Objective("best"),)
N_GENES = 3


def simple(genome: Island) -> Score:
    """A stint without torch: six individuals mutate about 0.25, each keeping its better self."""
    rng = np.random.default_rng(int(digest(genome)[:15], 16))
    pop = genome.arrays["pop"] if genome.arrays else rng.random((6, N_GENES))
    children = pop + rng.normal(0, 0.1, pop.shape)
    fit, new = (((each - 0.25) ** 2).sum(1, keepdims=True) for each in (pop, children))
    pop, fit = np.where(new < fit, children, pop), np.minimum(fit, new)
    return Score((float(fit.min()),), heritage={"pop": pop, "fit": fit, "age": np.arange(6)})


class Contract(SearchContract[Island]):
    objectives = ONE

    def score(self, genome: Island) -> Score:
        return simple(genome)

    def often_infeasible(self, genome: Island) -> Score:
        return replace(simple(genome), violation=float(int(digest(genome)[:2], 16) % 2))

    def test_proposals_are_of_one_kind_and_box(self) -> None:
        """An island lies in no box: its numbers and parents instead."""
        for record in drive(self.search(), self.births, self.score):
            assert (record.genome.stint, record.genome.island) == divmod(record.birth, 4)
            assert record.operator in ("founder", "stint", "migration")
            assert all(0 <= parent < record.birth for parent in record.parents)


def archipelago(**changes: Any) -> Islands:
    parts: dict[str, Any] = {"n_islands": 4, "selection": Truncation(), "migrants": 2}
    return Islands(**(parts | {"objectives": ONE} | changes))


class TestRing(Contract):
    def search(self) -> Islands:
        return archipelago()


class TestRandomGraph(Contract):
    def search(self) -> Islands:
        return archipelago(topology=RandomGraph(degree=2))


def test_an_island_waits_for_itself_only() -> None:
    apart = archipelago()
    assert [apart.seen(birth) for birth in range(10)] == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6]
    assert window_of(apart) == 4


def test_parents_are_the_newest_stints_told() -> None:
    records = drive(archipelago(), 24, simple)
    parents = {record.birth: record.parents for record in records}
    assert all(parents[birth] == () for birth in range(4))
    assert parents[4] == (0,)  # its neighbour, island 3, is not told yet
    assert parents[5] == (1, 0)
    assert parents[8] == (4, 3)  # birth 7 may be in flight
    assert parents[9] == (5, 4)
    assert [records[birth].operator for birth in (3, 4, 5)] == ["founder", "stint", "migration"]


def test_a_random_graph_meets_everyone_in_time_and_never_itself() -> None:
    records = drive(archipelago(topology=RandomGraph(degree=2)), 120, simple)
    for island in range(4):
        own = [r for r in records if r.genome.island == island and r.operator == "migration"]
        met = [[parent % 4 for parent in record.parents[1:]] for record in own]
        assert {len(set(each)) for each in met[1:]} == {2}
        assert {other for each in met for other in each} == set(range(4)) - {island}


def told(search: Islands, *scores: Score) -> Islands:
    """`search` after its first births got `scores`."""
    for birth, score in enumerate(scores):
        genome = Island(birth % search.n_islands, birth // search.n_islands, {})
        search.tell(Record(birth, genome, digest(genome), score), rng_for(0, birth, Stream.TELL))
    return search


def herd(fit: Sequence[float], name: float) -> Score:
    """Individuals of one gene that says where they come from and which they were."""
    pop = name + np.arange(len(fit))[:, None] / 10
    table = np.array(fit)[:, None]
    return Score((min(fit),), heritage={"pop": pop, "fit": table, "age": np.arange(len(fit))})


def test_the_best_of_residents_and_migrants_stay_and_residents_keep_their_rows() -> None:
    search = archipelago(n_islands=2, migrants=3)
    told(search, herd([5.0, 1.0, 9.0, 3.0], name=0), herd([4.0, 2.0, 8.0], name=100))
    proposal = search.ask(2, rng_for(0, 2, Stream.ASK))
    arrays = proposal.genome.arrays
    assert arrays["fit"][:, 0].tolist() == [4, 1, 2, 3]
    assert arrays["pop"][:, 0].tolist() == [100.0, 0.1, 100.1, 0.3]
    assert arrays["age"].tolist() == [0, 1, 2, 3]
    assert proposal.parents == (0, 1)
    assert proposal.operator == "migration"
    assert proposal.facts == {"settled": 2}


def test_no_migrants_is_islands_that_never_meet() -> None:
    records = drive(archipelago(migrants=0), 20, simple)
    assert {record.operator for record in records} == {"founder", "stint"}
    assert all(len(record.parents) == 1 for record in records[4:])


def test_one_island_is_one_population() -> None:
    records = drive(archipelago(n_islands=1), 5, simple)
    assert [record.parents for record in records] == [(), (0,), (1,), (2,), (3,)]


def test_a_failed_stint_leaves_the_island_at_its_last_good_state() -> None:
    failed = Score.failed("worker lost: gone")
    good = herd([1.0, 2.0], name=7)
    search = told(archipelago(n_islands=2, migrants=0), good, failed, failed, failed)
    again = search.ask(4, rng_for(0, 4, Stream.ASK))
    assert (again.genome.island, again.genome.stint) == (0, 2)
    assert np.array_equal(again.genome.arrays["pop"], good.heritage["pop"])  # type: ignore[index]
    assert again.parents == (0,)
    anew = search.ask(5, rng_for(0, 5, Stream.ASK))
    assert (anew.genome.island, anew.genome.stint, anew.genome.arrays) == (1, 2, {})
    assert (anew.operator, anew.parents) == ("founder", ())
    assert [record.birth for record in search.elites] == [0]


def test_an_older_stint_that_comes_late_is_not_gone_back_to() -> None:
    search = archipelago(n_islands=1)
    for birth in (1, 0):
        genome = Island(0, birth, {})
        record = Record(birth, genome, digest(genome), herd([birth + 1.0], name=birth))
        search.tell(record, rng_for(0, birth, Stream.TELL))
    assert [record.birth for record in search.elites] == [1]


class Unread(dict[str, np.ndarray]):
    """Heritage in the vault, which counts how often it is looked into."""

    reads = 0

    def __getitem__(self, name: str) -> np.ndarray:
        Unread.reads += 1
        return super().__getitem__(name)


def test_only_the_newest_heritage_is_kept_and_read() -> None:
    search = archipelago(n_islands=2)
    for birth in range(10):
        genome = Island(birth % 2, birth // 2, {})
        score = replace(herd([1.0, 2.0], name=birth), heritage=Unread())
        search.tell(Record(birth, genome, digest(genome), score), rng_for(0, birth, Stream.TELL))
    assert Unread.reads == 0
    assert [record.birth for record in search.elites] == [8, 9]


def test_elites_come_best_first() -> None:
    search = told(archipelago(n_islands=3), *(herd([x], name=0) for x in (3.0, 1.0, 2.0)))
    assert [record.birth for record in search.elites] == [1, 2, 0]
    upward = archipelago(n_islands=3, objectives=(Objective("best", maximise=True),))
    told(upward, *(herd([x], name=0) for x in (3.0, 1.0, 2.0)))
    assert [record.birth for record in upward.elites] == [0, 2, 1]


def test_the_population_is_the_newest_of_all_islands() -> None:
    records = drive(archipelago(), 18, simple)
    pop, fit = population(records)
    newest = [records[birth] for birth in (16, 17, 14, 15)]
    heritage = [record.score.heritage or {} for record in newest]
    assert np.array_equal(pop, np.concatenate([each["pop"] for each in heritage]))
    assert np.array_equal(fit, np.concatenate([each["fit"] for each in heritage]))
    with pytest.raises(ValueError, match="No island"):
        population([])


@dataclass(frozen=True)
class Selfish:
    """Its own neighbour."""

    def neighbours(self, island: int, n_islands: int, rng: np.random.Generator) -> Sequence[int]:
        return (island,)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"n_islands": 0}, "n_islands=0"),
        ({"n_islands": True}, "n_islands=True.* as ints"),
        ({"n_islands": 2.0}, "n_islands=2.0"),
        ({"migrants": -1}, "migrants=-1"),
        ({"migrants": 1.5}, "migrants=1.5.* as ints"),
        ({"migrants": True}, "migrants=True"),
        ({"topology": RandomGraph(degree=1.5)}, "degree is 1.5"),  # type: ignore[arg-type]
        ({"topology": RandomGraph(degree=True)}, "degree is True"),
        ({"topology": RandomGraph(degree=4)}, "degree is 4 for 4 islands"),
        ({"topology": RandomGraph(degree=0)}, "an int from 1 to 3"),
        ({"topology": Selfish()}, r"Selfish gives island 0 of 4 the neighbours \[0\]"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ExperimentError, match=text):
        archipelago(**changes)


def test_a_selection_that_does_not_fit_and_a_barren_fitness_are_refused() -> None:
    search = archipelago(n_islands=2, selection=NSGA3(das_dennis(3, 4)))
    told(search, herd([1.0, 2.0], name=0), herd([1.0, 2.0], name=1))
    with pytest.raises(ExperimentError, match=r"selection NSGA3 does not fit costs \(4, 1\)"):
        search.ask(2, rng_for(0, 2, Stream.ASK))
    with pytest.raises(ExperimentError, match="without heritage"):
        told(archipelago(), Score((1.0,)))


def test_a_run_is_read_back_and_resumed_from_disk(tmp_path: Path) -> None:
    whole = evolve.run(islands(), tmp_path / "whole")
    evolve.run(islands(births=7), tmp_path / "part")
    longer = evolve.run(islands(), tmp_path / "part", resume=True)
    assert longer.digest == whole.digest
    pop, fit = population(evolve.load(tmp_path / "part").records)
    assert pop.shape == (48, 7)
    assert fit.shape == (48, 3)
    assert np.array_equal(fit, stint().problem().evaluate(torch.from_numpy(pop)).numpy())


def test_another_topology_is_another_run(tmp_path: Path) -> None:
    ring, graph = (
        evolve.run(islands(ring=ring), tmp_path / str(ring)).digest for ring in (True, False)
    )
    assert ring != graph


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("ring", [True, False])
def test_two_workers_give_the_same_run(tmp_path: Path, ring: bool) -> None:
    alone = evolve.run(islands(ring), tmp_path / "0")
    assert evolve.run(islands(ring), tmp_path / "2", workers=2).digest == alone.digest
    assert {record.score.error for record in alone.records} == {None}


def volume(migrants: int, seed: int) -> float:
    """Of four islands on DTLZ1, where a population gets caught, after 8 stints of 10."""
    fitness = Stint(partial(algorithm, 12), partial(DTLZ1, N_GENES_DTLZ, 3), 10, (5.0,) * 3)

    def evaluate(genome: Island) -> Score:
        return fitness.evaluate([genome], 0, seed)[0]

    _, fit = population(drive(search(4, migrants), 32, evaluate, seed=seed))
    return float(moocore.hypervolume(fit, ref=np.array(fitness.reference)))


@pytest.mark.slow
def test_migration_reaches_a_better_hypervolume() -> None:
    gains = [volume(3, seed) - volume(0, seed) for seed in range(5)]
    assert np.median(gains) > 0, gains
