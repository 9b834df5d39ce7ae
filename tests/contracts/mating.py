"""What every mating must do. Subclass `MatingContract` and give `mating()`."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import Tensor

from evolve.variation import Mating


class MatingContract:
    n_objectives = 2

    def mating(self) -> Mating:
        raise NotImplementedError

    def rows(self, n: int, seed: int = 0) -> Tensor:
        noise = np.random.default_rng(seed).random((n, self.n_objectives))
        return torch.from_numpy(noise)

    def samples(self, n: int) -> list[np.ndarray]:
        noise = np.random.default_rng(1).random((self.n_objectives, n, 5))
        return list(noise.astype(np.float32))

    def parents(self, costs: Tensor, n_parents: int, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return self.mating()(costs, self.samples(len(costs)), n_parents, generator=generator)

    def test_meets_the_protocol(self) -> None:
        assert isinstance(self.mating(), Mating)

    def test_survives_a_pickle(self) -> None:
        copy = pickle.loads(pickle.dumps(self.mating()))
        costs = self.rows(9)
        generator = torch.Generator().manual_seed(0)
        again = copy(costs, self.samples(9), 4, generator=generator)
        assert torch.equal(again, self.parents(costs, 4))

    @pytest.mark.parametrize(("n", "n_parents"), [(1, 1), (1, 3), (2, 2), (10, 1), (10, 25)])
    def test_gives_rows(self, n: int, n_parents: int) -> None:
        parents = self.parents(self.rows(n), n_parents)
        assert parents.dtype == torch.int64
        assert parents.shape == (n_parents,)
        assert int(parents.min()) >= 0
        assert int(parents.max()) < n

    def test_gives_rows_of_broken_costs(self) -> None:
        costs = torch.full((6, self.n_objectives), torch.inf)
        assert self.parents(costs, 4).shape == (4,)

    def test_same_seed_same_bits_and_no_global_generator(self) -> None:
        costs = self.rows(20)
        before = torch.get_rng_state()
        one, other = self.parents(costs, 30), self.parents(costs, 30)
        assert torch.equal(one, other)
        assert torch.equal(torch.get_rng_state(), before)
        assert not torch.equal(one, self.parents(costs, 30, seed=1))

    def test_changes_no_argument(self) -> None:
        costs = self.rows(20)
        kept = costs.clone()
        self.parents(costs, 5)
        assert torch.equal(costs, kept)

    def test_another_default_device(self) -> None:
        costs = self.rows(20)
        expected = self.parents(costs, 5)
        with torch.device("meta"):  # stands for "cuda", which is not everywhere
            assert torch.equal(self.parents(costs, 5), expected)

    @pytest.mark.parametrize("n_parents", [0, -2, True, 1.5])
    def test_refuses_no_parents(self, n_parents: int) -> None:
        with pytest.raises(ValueError, match="n_parents"):
            self.parents(self.rows(5), n_parents)

    def test_refuses_an_empty_population(self) -> None:
        with pytest.raises(ValueError, match="of 0 rows"):
            self.parents(self.rows(0), 2)

    def test_refuses_costs_that_are_no_matrix_of_floats(self) -> None:
        with pytest.raises(ValueError, match="shape"):
            self.parents(torch.zeros(10), 2)

    def test_refuses_another_generator(self) -> None:
        with pytest.raises(ValueError, match="generator"):
            self.mating()(self.rows(5), None, 2, generator=None)  # type: ignore[arg-type]
