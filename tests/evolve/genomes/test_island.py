from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from evolve.errors import GenomeError
from evolve.genome import digest
from evolve.genomes.island import Island
from evolve.search.protocol import Proposal
from evolve.store.ledger import Ledger
from tests.contracts.genome import GenomeContract


def state(n: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "pop": rng.random((n, 3)),
        "fit": rng.random((n, 2)).astype(np.float32),
        "memory.worst": np.full(2, np.inf),
        "rank": np.arange(n),
        "chosen": np.array([True, False]),
    }


class TestIsland(GenomeContract):
    @pytest.fixture
    def genomes(self) -> list[Island]:
        states: list[dict[str, np.ndarray]] = [{}, {}, {}, state(), state(), state(seed=1)]
        places = [(0, 0), (1, 0), (0, 1), (0, 1), (0, 2), (0, 1)]
        return [Island(i, s, arrays) for (i, s), arrays in zip(places, states)]


def test_it_expresses_its_arrays() -> None:
    arrays = state()
    expressed = Island(2, 1, arrays).express()
    assert list(expressed) == sorted(arrays)
    assert all(expressed[name] is arrays[name] for name in arrays)
    assert Island(2, 0, {}).express() == {}


def test_a_founder_has_no_arrays() -> None:
    packed = Island(3, 0, {}).pack()
    assert packed.facts == {"island": 3, "stint": 0}
    assert packed.arrays == {}


def test_a_buffer_without_a_dimension_survives_a_run(tmp_path: Path) -> None:
    island = Island(0, 1, {**state(), "steps": np.array(7)})
    with closing(Ledger.create(tmp_path / "run", {})) as ledger:
        ledger.begin_epoch({})
        name = ledger.born(0, Proposal(island))
        (found,) = ledger.unfinished()
    back = found.proposal
    assert back is not None
    assert name == digest(island) == digest(back.genome)
    assert back.genome.pack().arrays["steps"].shape == ()


def test_every_buffer_counts() -> None:
    other = {**state(), "memory.worst": np.zeros(2)}
    assert digest(Island(0, 1, state())) != digest(Island(0, 1, other))


@pytest.mark.parametrize(("island", "stint"), [(-1, 0), (0, -1)])
def test_negative_numbers_are_refused(island: int, stint: int) -> None:
    with pytest.raises(GenomeError, match="both count from 0"):
        Island(island, stint, {})


@pytest.mark.parametrize(
    "arrays",
    [
        {"pop": np.zeros((2, 3))},
        {"pop": np.zeros((2, 3)), "fit": np.zeros((3, 2))},
        {"pop": np.zeros((0, 3)), "fit": np.zeros((0, 2))},
        {"pop": np.array(1.0), "fit": np.array(1.0)},
        {"x": np.zeros(3)},
    ],
)
def test_arrays_that_are_no_population_are_refused(arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(GenomeError, match="as many individuals as costs"):
        Island(0, 1, arrays)
