"""Streams: independent, reproducible, and built directly at any birth."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from evolve.streams import Stream, rng_for, seed_for, torch_generator


def words(seed: int, n: int, stream: Stream, count: int = 64) -> tuple[int, ...]:
    return tuple(rng_for(seed, n, stream).integers(2**63, size=count).tolist())


def test_same_arguments_same_bits() -> None:
    assert words(7, 5, Stream.ASK) == words(7, 5, Stream.ASK)


def test_bits_are_philox_keyed_by_seed_and_stream_with_its_counter_at_n() -> None:
    philox = np.random.Philox(key=[7, int(Stream.TELL)], counter=[0, 0, 0, 5])
    assert words(7, 5, Stream.TELL) == tuple(
        np.random.Generator(philox).integers(2**63, size=64).tolist()
    )


def test_bits_are_pinned() -> None:
    """A change here changes every run: raise the ledger's format if it is wanted."""
    assert words(0, 0, Stream.ASK, 2) == (106500010600983629, 2227898105101312729)
    assert words(1, 2, Stream.EVALUATE, 2) == (4261030147853205512, 2559220046558707916)


def test_no_word_is_shared_between_births_streams_and_seeds() -> None:
    drawn = [
        words(seed, n, stream) for seed in (0, 1, 2**63) for n in range(20) for stream in Stream
    ]
    flat = [word for each in drawn for word in each]
    assert len(set(flat)) == len(flat)


def test_neighbours_are_uncorrelated() -> None:
    rows = np.stack([rng_for(3, n, Stream.ASK).standard_normal(4000) for n in range(8)])
    off_diagonal = np.corrcoef(rows) - np.eye(8)
    assert np.abs(off_diagonal).max() < 4.5 / np.sqrt(4000)


def test_birth_n_needs_no_birth_before_it() -> None:
    far = 2**40
    before = rng_for(0, far, Stream.ASK).random()
    for n in range(3):
        rng_for(0, n, Stream.ASK).random(1000)
    assert rng_for(0, far, Stream.ASK).random() == before


@pytest.mark.parametrize(("seed", "n"), [(-1, 0), (0, -1)])
def test_negative_numbers_are_refused(seed: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"seed={seed}, n={n}"):
        rng_for(seed, n, Stream.ASK)


def test_seed_for_fits_libraries() -> None:
    seeds = {seed_for(0, n, Stream.EVALUATE) for n in range(100)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_for(0, 0, Stream.EVALUATE) == seed_for(0, 0, Stream.EVALUATE)


def test_torch_generator_takes_one_draw_and_no_global_state() -> None:
    torch_before, python_before = torch.get_rng_state(), random.getstate()
    first = torch.rand(5, generator=torch_generator(rng_for(0, 1, Stream.ASK)))
    again = torch.rand(5, generator=torch_generator(rng_for(0, 1, Stream.ASK)))
    other = torch.rand(5, generator=torch_generator(rng_for(0, 2, Stream.ASK)))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert random.getstate() == python_before
    rng, twin = rng_for(0, 1, Stream.ASK), rng_for(0, 1, Stream.ASK)
    torch_generator(rng)
    twin.integers(2**63 - 1)
    assert rng.random() == twin.random()
