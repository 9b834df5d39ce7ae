from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.errors import CheckpointError, GenomeError
from evolve.genome import WHERE, canonical
from evolve.genomes.checkpoint import Source
from evolve.genomes.compression.anatomy import Anatomy, Block, Linear, Part
from evolve.genomes.compression.level import Bits, Dense, Zeros
from evolve.genomes.compression.space import (
    BitGrid,
    ProfileSpace,
    Unit,
    ZeroGrid,
    middle,
    units_of,
    wanted,
)
from tests.evolve.genomes.compression.families import write, write_database


def anatomy_of(*shapes: tuple[str, int, int]) -> Anatomy:
    """One block: attention's linears, then those whose names lie in mlp."""
    linears = [Linear(f"b.0.{name}", rows, columns) for name, rows, columns in shapes]
    attention = tuple(each for each in linears if ".mlp." not in each.name)
    mlp = tuple(each for each in linears if ".mlp." in each.name)
    source = Source(Path("/nowhere"), "digest", Path("/nowhere"))
    return Anatomy(source, (Block("b.0", attention, mlp),), "")


def zeros(unit: Unit) -> list[int]:
    counts = []
    for at in unit.levels:
        assert all(isinstance(level, Zeros) for level in at)
        counts.append(sum(level.count for level in at if isinstance(level, Zeros)))
    return counts


LLAMA = (
    ("attn.q_proj", 16, 16),
    ("attn.k_proj", 8, 16),
    ("attn.v_proj", 8, 16),
    ("attn.o_proj", 16, 16),
    ("mlp.gate_proj", 24, 16),
    ("mlp.up_proj", 24, 16),
    ("mlp.down_proj", 16, 24),
)
shapes = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 6)).map(lambda n: (4 * n[0], 4 * n[1])),
    min_size=2,
    max_size=6,
)


@given(
    shapes,
    st.floats(0.05, 0.95),
    st.integers(1, 12),
    st.integers(1, 4),
    st.booleans(),
)
def test_a_step_up_pays_for_a_step_down_anywhere(
    sizes: list[tuple[int, int]], sparsity: float, reach: int, divisor: int, tied: bool
) -> None:
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "mlp.gate_proj", "mlp.up_proj"]
    anatomy = anatomy_of(*((name, *size) for name, size in zip(names, sizes)))
    units = units_of(anatomy, ZeroGrid(sparsity, reach, divisor), tied)
    steps = set()
    for unit in units:
        counts = zeros(unit)
        assert counts == sorted(counts, reverse=True)
        assert all(0 < count < unit.size for count in counts)
        steps |= {a - b for a, b in pairwise(counts)}
        centre = middle(unit, sparsity)
        assert counts[centre] == round(unit.size * sparsity)
        assert centre <= reach
        assert len(counts) - 1 - centre <= reach
        for at in unit.levels:
            for linear, level in zip(unit.linears, at):
                assert isinstance(level, Zeros)
                assert 0 <= level.count <= linear.size
    assert len(steps) <= 1
    if steps and reach >= 2:  # no end is nearer than it has to be
        (step,) = steps
        for unit in units:
            counts, centre = zeros(unit), middle(unit, sparsity)
            assert centre == reach or counts[0] + step >= unit.size
            assert len(counts) - 1 - centre == reach or counts[-1] <= step


def test_tied_zeros_are_shared_by_size() -> None:
    units = units_of(anatomy_of(*LLAMA), ZeroGrid(0.5, reach=1, divisor=1))
    first = units[0].levels
    assert first == (
        (Zeros(192), Zeros(96), Zeros(96)),
        (Zeros(128), Zeros(64), Zeros(64)),
        (Zeros(64), Zeros(32), Zeros(32)),
    )


def test_ties_are_what_kernels_fuse() -> None:
    tied = units_of(anatomy_of(*LLAMA), BitGrid(group=8))
    assert [unit.name for unit in tied] == [
        "0.attention.q_proj+k_proj+v_proj",
        "0.attention.o_proj",
        "0.mlp.gate_proj+up_proj",
        "0.mlp.down_proj",
    ]
    assert [unit.part for unit in tied] == [Part.ATTENTION] * 2 + [Part.MLP] * 2
    loose = units_of(anatomy_of(*LLAMA), BitGrid(group=8), tied=False)
    assert [unit.linears[0].own for unit in loose] == [
        name.rpartition(".")[2] for name, _, _ in LLAMA
    ]


def test_ties_hold_in_any_order_of_the_model() -> None:
    """GPT-Neo and GPT-J keep k before v before q."""
    shuffled = (LLAMA[1], LLAMA[2], LLAMA[0], *LLAMA[3:])
    units = units_of(anatomy_of(*shuffled), BitGrid(group=8))
    assert units[0].name == "0.attention.k_proj+v_proj+q_proj"


def test_bits_ascend_and_dense_is_last() -> None:
    unit = units_of(anatomy_of(*LLAMA), BitGrid((2, 4), 8, dense=True))[0]
    assert [at[0] for at in unit.levels] == [Bits(2, 8), Bits(4, 8), Dense()]
    assert all(at == at[:1] * 3 for at in unit.levels)
    assert units_of(anatomy_of(*LLAMA), None)[0].levels == ((Dense(),) * 3,)


def test_a_database_need_not_hold_dense_levels_nor_one_twice() -> None:
    units = units_of(anatomy_of(*LLAMA), BitGrid((2, 4), 8, dense=True))
    found = wanted(units)
    assert list(found) == [f"b.0.{name}" for name, _, _ in LLAMA]
    assert set(found.values()) == {(Bits(2, 8), Bits(4, 8))}
    small = anatomy_of(("q_proj", 1, 1), ("k_proj", 16, 16), ("mlp.o", 257, 1))
    narrow = wanted(units_of(small, ZeroGrid(0.5, reach=8, divisor=257)))
    assert len(set(narrow["b.0.q_proj"])) == len(narrow["b.0.q_proj"]) < len(narrow["b.0.k_proj"])


def test_groups_that_do_not_divide_are_refused_with_one_that_does() -> None:
    with pytest.raises(GenomeError, match=r"attn.q_proj has 16 inputs, .* such as 8") as caught:
        units_of(anatomy_of(*LLAMA), BitGrid(group=32))
    assert "groups of 32" in str(caught.value)
    units_of(anatomy_of(*LLAMA), BitGrid(group=8))
    with pytest.raises(GenomeError, match=r"down_proj has 24 inputs, .* such as 8"):
        units_of(anatomy_of(*LLAMA), BitGrid(group=16))


@pytest.mark.parametrize(
    ("grid", "text"),
    [
        (ZeroGrid(0.5, divisor=129), "divisor is 129, .* share only the divisor 128"),
        (ZeroGrid(1e-9), "zeroes some and leaves some"),
        (ZeroGrid(1 - 1e-9), "zeroes some and leaves some"),
    ],
)
def test_zeros_that_cannot_be_are_refused(grid: ZeroGrid, text: str) -> None:
    with pytest.raises(GenomeError, match=text):
        units_of(anatomy_of(*LLAMA), grid)


@pytest.mark.parametrize("bits", [(), (4, 3), (3, 3), (1, 2), (8, 9)])
def test_bit_grids_ascend_within_reason(bits: tuple[int, ...]) -> None:
    with pytest.raises(GenomeError, match=r"ascending|2 to 8"):
        BitGrid(bits)


@pytest.mark.parametrize(
    ("sparsity", "reach", "divisor"),
    [(0, 8, 4), (1, 8, 4), (float("nan"), 8, 4), (0.5, 0, 4), (0.5, 8, 0)],
)
def test_zero_grids_are_checked(sparsity: float, reach: int, divisor: int) -> None:
    with pytest.raises(GenomeError, match="is no grid"):
        ZeroGrid(sparsity, reach, divisor)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("model") / "it", "llama")


def test_a_space_needs_something_to_choose(model: Path) -> None:
    with pytest.raises(GenomeError, match="nothing to choose"):
        ProfileSpace.of(model)
    with pytest.raises(GenomeError, match="needs a level database"):
        ProfileSpace.of(model, grid=BitGrid(group=16))


def test_groups_are_checked_before_the_database_is_looked_for(model: Path, tmp_path: Path) -> None:
    with pytest.raises(GenomeError, match="do not divide"):
        ProfileSpace.of(model, tmp_path / "none", grid=BitGrid(group=64))


def test_a_database_of_another_model_or_grid_is_refused(model: Path, tmp_path: Path) -> None:
    database = write_database(tmp_path / "levels", model, BitGrid((2, 4), 16))
    ProfileSpace.of(model, database, grid=BitGrid((4,), 16))
    with pytest.raises(GenomeError, match="b3g16"):
        ProfileSpace.of(model, database, grid=BitGrid((2, 3, 4), 16))
    other = write(tmp_path / "other", "llama", rms_norm_eps=1e-3)
    with pytest.raises(GenomeError, match="made from"):
        ProfileSpace.of(other, database, grid=BitGrid((2, 4), 16))


def test_facts_are_json_and_made_once(model: Path) -> None:
    space = ProfileSpace.of(str(model), depth=True)
    assert space.facts is space.facts
    assert json.loads(canonical(space.facts))[WHERE] == [str(model.resolve()), None]
    assert space.units is space.units


def test_equal_spaces_are_equal(model: Path) -> None:
    one, other = (ProfileSpace.of(model, depth=True) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != ProfileSpace.of(model, depth=True, tied=False)


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint directory"):
        ProfileSpace.of(tmp_path / "none", depth=True)
