from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from evolve.errors import GenomeError
from evolve.genomes.checkpoint import Entry, Source
from evolve.genomes.compression.anatomy import Anatomy, Block, Linear, Part
from evolve.genomes.compression.budget import (
    Budget,
    Cost,
    file_bytes,
    kept_weights,
    latency,
    n_weights,
    weight_bits,
)
from evolve.genomes.compression.level import Zeros, stored_bytes
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ProfileSpace, ZeroGrid

HERE = Path("/nowhere")


def space_of(
    widths: tuple[int, ...] = (8, 16, 8),
    grid: BitGrid | ZeroGrid | None = BitGrid((2, 4), 8),  # noqa: B008
    depth: bool = True,
) -> ProfileSpace:
    """Blocks whose MLPs have `widths`, with a norm and a bias each, an embedding and a head."""
    entries = {
        "embed": Entry("BF16", (10, 8), HERE),
        "lm_head.weight": Entry("BF16", (10, 8), HERE),
    }
    blocks = []
    for i, width in enumerate(widths):
        name = f"h.{i}"
        attention = (Linear(f"{name}.a.qkv", 24, 8), Linear(f"{name}.a.o_proj", 8, 8))
        mlp = (Linear(f"{name}.m.up_proj", width, 8), Linear(f"{name}.m.down_proj", 8, width))
        for linear in attention + mlp:
            shape = (linear.rows, linear.columns)
            entries[f"{linear.name}.weight"] = Entry("BF16", shape, HERE)
        entries[f"{name}.norm.weight"] = Entry("F32", (8,), HERE)
        entries[f"{name}.m.down_proj.bias"] = Entry("BF16", (8,), HERE)
        blocks.append(Block(name, attention, mlp))
    source = Source(HERE, "digest", HERE)
    vars(source)["entries"] = entries  # as if read
    return ProfileSpace(Anatomy(source, tuple(blocks), ""), None, grid, depth, True, None)


def table_of(space: ProfileSpace) -> dict[tuple[str, str], float]:
    """Seconds that neither ascend with the level nor repeat."""
    rng = np.random.default_rng(0)
    return {
        (linear.name, level.name): float(rng.integers(1, 1000)) * 1e-9
        for unit in space.units
        for at in unit.levels
        for linear, level in zip(unit.linears, at)
    }


def profiles(space: ProfileSpace) -> list[CompressionProfile]:
    rng = np.random.default_rng(1)
    made = []
    for _ in range(60):
        levels = rng.integers(0, space.n_levels)
        masks = rng.random((2, space.n_blocks)) < 0.6
        made.append(CompressionProfile.at(space, levels, *masks))
    return made


def slow(cost: Cost, profile: CompressionProfile) -> int:
    """What `cost` says, term by term."""
    total = cost.fixed
    for i, block in enumerate(cost.blocks):
        parts = [profile.keeps(i, part) for part in Part]
        total += block if any(parts) else 0
        for unit, costs, level in zip(profile.space.units, cost.units, profile.levels.tolist()):
            if unit.block == i and any(parts):
                here = profile.keeps(i, unit.part) or cost.removed_counts
                total += costs[level] if here else 0
    return total


def costs(space: ProfileSpace) -> list[Cost]:
    return [
        file_bytes(space),
        weight_bits(space),
        kept_weights(space),
        latency(space, table_of(space), 1e-6),
    ]


@pytest.mark.parametrize("grid", [BitGrid((2, 4), 8), ZeroGrid(0.5, 2, 8), None])
def test_a_cost_is_the_sum_of_its_terms(grid: BitGrid | ZeroGrid | None) -> None:
    space = space_of(grid=grid)
    for cost in costs(space):
        for profile in profiles(space):
            assert cost.of(profile) == slow(cost, profile)
            assert type(cost.of(profile)) is int


def test_only_the_file_is_in_bytes() -> None:
    assert [cost.name for cost in costs(space_of()) if cost.in_bytes] == ["bytes"]


def test_bytes_of_the_dense_profile_are_the_files() -> None:
    space = space_of(grid=None)
    entries = space.anatomy.source.entries.values()
    held = sum(entry.size * (4 if entry.dtype == "F32" else 2) for entry in entries)
    assert file_bytes(space).of(CompressionProfile.dense(space)) == held


def test_bytes_of_bits_are_codes_and_scales_and_the_rest() -> None:
    space = space_of()
    anatomy = space.anatomy
    others = anatomy.other_bytes() + sum(anatomy.other_bytes(i) for i in range(3))
    assert others == 320 + 3 * (32 + 16)
    profile = CompressionProfile.uniform(space, bits=4)
    packed = sum(stored_bytes(level, x.rows, x.columns, 2) for x, level in profile.layers())
    assert file_bytes(space).of(profile) == others + packed
    assert weight_bits(space).of(profile) == 8 * packed


def test_a_removed_part_stays_in_the_file_and_a_removed_block_does_not() -> None:
    space = space_of()
    cost, low = file_bytes(space), np.zeros(len(space.units))
    first = np.array([False, True, True])
    dense = cost.of(CompressionProfile.at(space, low))
    assert cost.of(CompressionProfile.at(space, low, first, None)) == dense
    assert cost.of(CompressionProfile.at(space, low, None, first)) == dense
    block = space.anatomy.other_bytes(0) + sum(
        stored_bytes(level, linear.rows, linear.columns, 2)
        for unit in space.units
        if unit.block == 0
        for linear, level in zip(unit.linears, unit.levels[0])
    )
    assert cost.of(CompressionProfile.at(space, low, first, first)) == dense - block
    top = CompressionProfile.at(space, low + 1, first, None)  # at its lowest level
    assert cost.of(top) == cost.of(CompressionProfile.dense(space)) - sum(
        costs[1] - costs[0]
        for unit, costs in zip(space.units, cost.units)
        if (unit.block, unit.part) == (0, Part.ATTENTION)
    )


def test_a_removed_part_takes_no_time_and_keeps_no_weight() -> None:
    space = space_of(grid=None)
    table = dict.fromkeys(table_of(space), 1e-6)
    cost, levels = latency(space, table, 5e-6), np.zeros(len(space.units))
    middle = np.array([True, False, True])
    assert cost.of(CompressionProfile.at(space, levels)) == 5_000 + 12 * 1_000
    assert cost.of(CompressionProfile.at(space, levels, middle, None)) == 5_000 + 10 * 1_000
    assert cost.of(CompressionProfile.at(space, levels, None, middle)) == 5_000 + 10 * 1_000
    assert cost.of(CompressionProfile.at(space, levels, middle, middle)) == 5_000 + 8 * 1_000
    kept = kept_weights(space)
    assert kept.of(CompressionProfile.at(space, levels)) == n_weights(space) == 3 * 256 + 512
    assert kept.of(CompressionProfile.at(space, levels, None, middle)) == 3 * 256 + 256


def test_switches_keep_the_number_of_weights() -> None:
    space = space_of(grid=ZeroGrid(0.5, 2, 8))
    cost, even = (
        kept_weights(space),
        CompressionProfile.uniform(space_of(grid=ZeroGrid(0.5, 2, 8))),
    )
    assert cost.of(even) == n_weights(space) // 2
    for up, down in product(range(len(space.units)), repeat=2):
        levels = even.levels.astype(int)
        levels[up] += 1
        levels[down] -= 1
        assert cost.of(CompressionProfile.at(space, levels)) == cost.of(even)
    zeros = sum(level.count for _, level in even.layers() if isinstance(level, Zeros))
    assert zeros == n_weights(space) - cost.of(even)


def test_every_time_must_have_been_measured() -> None:
    space = space_of()
    table = table_of(space)
    gone = ("h.1.m.up_proj", "b4g8")
    with pytest.raises(GenomeError, match=r"lacks h\.1\.m\.up_proj at b4g8"):
        latency(space, {key: time for key, time in table.items() if key != gone}, 0.0)
    for time in (float("nan"), float("inf"), -1.0):
        with pytest.raises(GenomeError, match=r"says .* s for h\.1\.m\.up_proj"):
            latency(space, {**table, gone: time}, 0.0)
        with pytest.raises(GenomeError, match="fixed latency"):
            latency(space, table, time)


def every(space: ProfileSpace) -> list[CompressionProfile]:
    """All profiles of a small space, with one part of each kind left at least."""
    n = space.n_blocks
    masks = [np.array(mask) for mask in product([True, False], repeat=n) if any(mask)]
    masks = masks if space.depth else masks[:1]
    found = []
    for levels in product(*(range(len(unit.levels)) for unit in space.units)):
        for attention, mlp in product(masks, repeat=2):
            gone = ~space.spread(attention, mlp)
            if not np.array(levels)[gone].any():
                found.append(CompressionProfile.at(space, np.array(levels), attention, mlp))
    return found


@pytest.mark.parametrize("depth", [False, True])
def test_the_reach_is_that_of_all_profiles(depth: bool) -> None:
    """Blocks differ in size, and lower levels may be slower."""
    space = space_of((8, 24), depth=depth)
    made = every(space)
    pairs = [None, (0, 0), (1, 0), (0, 1), (1, 1)] if depth else [None, (0, 0)]
    for cost in costs(space):
        priced = [(each, cost.of(each)) for each in made]
        for removed in pairs:
            reached = [
                price
                for each, price in priced
                if removed in (None, (int((~each.attention).sum()), int((~each.mlp).sum())))
            ]
            budget = Budget(space, cost, 10**12, removed)
            assert budget.reach(cost) == (min(reached), max(reached))
            Budget(space, cost, min(reached), removed)
            with pytest.raises(GenomeError, match="No profile has") as caught:
                Budget(space, cost, min(reached) - 1, removed)
            assert f"reach from {min(reached):,} to {max(reached):,}" in str(caught.value)


def test_keeps_is_the_limit_and_the_numbers_removed() -> None:
    space = space_of()
    cost = file_bytes(space)
    even = CompressionProfile.uniform(space, bits=4)
    assert Budget(space, cost, cost.of(even)).keeps(even)
    assert not Budget(space, cost, cost.of(even) - 1).keeps(even)
    first = np.array([False, True, True])
    less = CompressionProfile.at(space, even.levels, first, ~first)
    assert Budget(space, removed=(1, 2)).keeps(less)
    assert not Budget(space, removed=(2, 1)).keeps(less)
    assert Budget(space, cost, 10**9).keeps(less)
    assert not Budget(space, cost, cost.of(less) - 1, (1, 2)).keeps(less)


def test_budgets_that_mean_nothing_are_refused() -> None:
    space = space_of()
    for removed in ((3, 0), (0, 3), (-1, 0)):
        with pytest.raises(GenomeError, match="give 0 to 2 of each"):
            Budget(space, removed=removed)
    with pytest.raises(GenomeError, match="depth=True"):
        Budget(space_of(depth=False), removed=(1, 0))
    with pytest.raises(GenomeError, match="limits nothing"):
        Budget(space)
    cost = file_bytes(space)
    with pytest.raises(GenomeError, match="has 11 units, the space 12"):
        Budget(space, replace(cost, units=cost.units[:-1]), 10**9)
