from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from evolve.errors import GenomeError
from evolve.genome import WHERE, Packed, digest
from evolve.genomes.compression import anatomy, profile
from evolve.genomes.compression.anatomy import Names, Part
from evolve.genomes.compression.database import Database
from evolve.genomes.compression.level import Bits
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ProfileSpace, ZeroGrid
from tests.contracts.genome import GenomeContract
from tests.evolve.genomes.compression.families import stored, write, write_database

GRID = BitGrid((2, 4), 16, dense=True)
ZEROS = ZeroGrid(0.5, reach=2, divisor=8)
KEPT = np.array([True, False])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("model") / "it", "llama", dtype=torch.bfloat16)


@pytest.fixture(scope="module")
def database(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_database(tmp_path_factory.mktemp("bits") / "levels", model, GRID)


@pytest.fixture(scope="module")
def zeros(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_database(tmp_path_factory.mktemp("zeros") / "levels", model, ZEROS)


@pytest.fixture
def space(model: Path, database: Path) -> ProfileSpace:
    return ProfileSpace.of(model, database, grid=GRID, depth=True)


@pytest.mark.slow  # another process imports transformers
class TestCompressionProfile(GenomeContract):
    @pytest.fixture
    def genomes(self, space: ProfileSpace, model: Path, zeros: Path) -> list[CompressionProfile]:
        levels = np.arange(8) % 3
        sparse = ProfileSpace.of(model, zeros, grid=ZEROS)
        names = Names("model.layers", "self_attn", "mlp", "o_proj", "down_proj")
        whole = CompressionProfile.dense(
            ProfileSpace.of(model, depth=True, names=names, tied=False)
        )
        return [
            CompressionProfile.uniform(space, bits=2),
            CompressionProfile.uniform(space, bits=4),
            CompressionProfile.dense(space),
            CompressionProfile.at(space, levels),
            CompressionProfile.at(space, levels, KEPT, ~KEPT),
            CompressionProfile.at(space, levels, KEPT, KEPT),
            CompressionProfile.uniform(sparse),
            CompressionProfile.dense(sparse),
            whole,
            CompressionProfile.at(whole.space, whole.levels, KEPT),
        ]


def test_what_is_removed_goes_to_the_lowest_level(space: ProfileSpace) -> None:
    one = CompressionProfile.at(space, np.full(8, 2), KEPT, None)
    other = CompressionProfile.at(space, np.array([2, 2, 2, 2, 1, 0, 2, 2]), KEPT, None)
    assert digest(one) == digest(other)
    assert one.levels.tolist() == [2, 2, 2, 2, 0, 0, 2, 2]
    assert not one.keeps(1, Part.ATTENTION)
    assert one.keeps(1, Part.MLP)
    both = CompressionProfile.at(space, np.full(8, 1), KEPT, KEPT)
    assert both.levels.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


def test_at_copies_what_it_is_given(space: ProfileSpace) -> None:
    levels, mask = np.ones(8, np.int8), np.ones(2, bool)
    made = CompressionProfile.at(space, levels, mask, mask)
    before = digest(made)
    levels[:], mask[:] = 0, False
    assert digest(made) == before


def test_whole_numbers_of_any_type_are_one_profile(space: ProfileSpace) -> None:
    made = [
        CompressionProfile.at(space, np.ones(8, kind)) for kind in (np.int64, np.float64, np.uint8)
    ]
    assert len({digest(each) for each in made}) == 1


@pytest.mark.parametrize("wrong", [3, -1, 256, -256, 1.5, np.nan, np.inf])
def test_levels_that_a_unit_lacks_are_refused(space: ProfileSpace, wrong: float) -> None:
    levels = np.ones(8)
    levels[5] = wrong
    with pytest.raises(GenomeError, match=r"1\.attention\.o_proj has levels 0 to 2, not"):
        CompressionProfile.at(space, levels)


@pytest.mark.parametrize(
    ("levels", "attention", "text"),
    [
        (np.zeros(7, np.int8), np.ones(2, bool), r"\(7,\) levels, the model has 8 units"),
        (np.zeros((8, 1), np.int8), np.ones(2, bool), r"\(8, 1\) levels"),
        (np.zeros(8, np.int8), np.ones(3, bool), r"keeps \(3,\) attentions"),
        (np.zeros(8, np.int64), np.ones(2, bool), "has int64, bool and bool"),
        (np.zeros(8, np.int8), np.ones(2, np.uint8), "has int8, uint8 and bool"),
        (np.ones(8, np.int8), KEPT, "1.attention.q_proj.* is removed and not at level 0"),
    ],
)
def test_the_constructor_checks(
    space: ProfileSpace, levels: np.ndarray, attention: np.ndarray, text: str
) -> None:
    with pytest.raises(GenomeError, match=text):
        CompressionProfile(space, levels, attention, np.ones(2, bool))
    if "int" not in text and "uint" not in text and "removed" not in text:
        with pytest.raises(GenomeError, match=text):
            CompressionProfile.at(space, levels, attention)


def test_nothing_is_removed_without_depth(model: Path, database: Path) -> None:
    space = ProfileSpace.of(model, database, grid=GRID)
    with pytest.raises(GenomeError, match="depth=True"):
        CompressionProfile.at(space, np.zeros(8), KEPT)


def test_uniform_needs_a_level_of_the_grid(space: ProfileSpace, model: Path, zeros: Path) -> None:
    even = CompressionProfile.uniform(space, bits=4)
    assert {level for _, level in even.layers()} == {Bits(4, 16)}
    with pytest.raises(GenomeError, match="no uniform level of 3 bits"):
        CompressionProfile.uniform(space, bits=3)
    sparse = ProfileSpace.of(model, zeros, grid=ZEROS)
    assert sum(level.count for _, level in CompressionProfile.uniform(sparse).layers()) == sum(
        round(unit.size / 2) for unit in sparse.units
    )
    with pytest.raises(GenomeError, match="no uniform level of 4 bits"):
        CompressionProfile.uniform(sparse, bits=4)


def test_where_things_lie_is_no_part_of_the_digest(
    space: ProfileSpace, model: Path, database: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "moved")
    shutil.copytree(database, tmp_path / "levels")
    moved = ProfileSpace.of(tmp_path / "moved", tmp_path / "levels", grid=GRID, depth=True)
    one, other = (CompressionProfile.uniform(each, bits=4) for each in (space, moved))
    assert one.pack().facts[WHERE] != other.pack().facts[WHERE]
    assert digest(one) == digest(other)


def test_another_grid_is_another_profile(model: Path, database: Path) -> None:
    grids = (GRID, BitGrid((2, 4), 16), BitGrid((4,), 16))
    spaces = [ProfileSpace.of(model, database, grid=grid) for grid in grids]
    spaces.append(ProfileSpace.of(model, database, grid=GRID, depth=True))
    made = [CompressionProfile.at(each, np.zeros(8)) for each in spaces]
    assert len({digest(each) for each in made}) == 4


def test_a_changed_model_or_database_is_refused(
    model: Path, database: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "model")
    packed = CompressionProfile.dense(ProfileSpace.of(tmp_path / "model", depth=True)).pack()
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(GenomeError, match=r"The model at .* is not the one"):
        CompressionProfile.unpack(packed)
    shutil.copytree(database, tmp_path / "levels")
    space = ProfileSpace.of(model, tmp_path / "levels", grid=GRID)
    packed = CompressionProfile.dense(space).pack()
    manifest = tmp_path / "levels" / "manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(GenomeError, match=rf"database at {tmp_path / 'levels'} is not the one"):
        CompressionProfile.unpack(packed)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """What `unpack` looks at: every model that is opened."""
    seen: list[object] = []
    was = anatomy.Source.of

    def of(path: Path) -> anatomy.Source:
        seen.append(path)
        return was(path)

    profile._built.cache_clear()
    monkeypatch.setattr(anatomy.Source, "of", of)
    yield seen
    profile._built.cache_clear()


def test_a_process_builds_a_space_once(space: ProfileSpace, reads: list[object]) -> None:
    packed = [CompressionProfile.uniform(space, bits=bits).pack() for bits in (2, 4)]
    made = [CompressionProfile.unpack(each) for each in packed * 3]
    assert len(reads) == 1
    assert len({id(each.space) for each in made}) == 1
    assert made[0].space == space


def test_arrays_may_be_read_only_and_stay_as_they_are(space: ProfileSpace) -> None:
    packed = CompressionProfile.uniform(space, bits=4).pack()
    arrays = {name: array.copy() for name, array in packed.arrays.items()}
    for array in arrays.values():
        array.setflags(write=False)
    back = CompressionProfile.unpack(Packed(packed.facts, arrays))
    assert digest(back) == digest(CompressionProfile.uniform(space, bits=4))
    assert [field.name for field in dataclasses.fields(back)] == [
        "space",
        "levels",
        "attention",
        "mlp",
    ]


@pytest.mark.parametrize("family", ["llama with biases", "phi", "gpt2", "gpt_neox"])
def test_expressed_parts_are_what_the_model_skips(tmp_path: Path, family: str) -> None:
    model = write(tmp_path / "model", family)
    space = ProfileSpace.of(model, depth=True)
    made = CompressionProfile.at(space, np.zeros(len(space.units)), KEPT, ~KEPT)
    ids = torch.arange(3, 15)[None]
    skipped, zeroed = (
        AutoModelForCausalLM.from_pretrained(model).eval().requires_grad_(False) for _ in range(2)
    )
    result = zeroed.load_state_dict(made.express(), strict=False)
    assert result.unexpected_keys == []
    assert set(result.missing_keys) <= {"lm_head.weight"}  # tied

    def nothing(module: object, given: object, out: Any) -> object:
        first = out[0] if isinstance(out, tuple) else out
        zeros = torch.zeros_like(first)
        return (zeros, *out[1:]) if isinstance(out, tuple) else zeros

    for i, part in ((1, Part.ATTENTION), (0, Part.MLP)):
        block = space.anatomy.blocks[i]
        home = block.part(part)[-1].name.removeprefix(f"{block.name}.").partition(".")[0]
        skipped.get_submodule(f"{block.name}.{home}").register_forward_hook(nothing)
    want = skipped(ids, use_cache=False).logits
    assert torch.equal(zeroed(ids, use_cache=False).logits, want)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_expressed_levels_are_those_of_the_database(tmp_path: Path, family: str) -> None:
    model = write(tmp_path / "model", family, dtype=torch.bfloat16)
    levels = write_database(tmp_path / "levels", model, GRID)
    space = ProfileSpace.of(model, levels, grid=GRID, depth=True)
    made = CompressionProfile.at(space, np.arange(len(space.units)) % 3, None, KEPT)
    tensors = made.express()
    before = stored(model)
    live = AutoModelForCausalLM.from_pretrained(model).state_dict()
    gone = space.anatomy.blocks[1].mlp[-1].name
    changed = {f"{gone}.weight", f"{gone}.bias"} & set(tensors)
    assert changed
    assert not any(tensors[name].any() for name in changed)
    for linear, level in made.layers():
        name = f"{linear.name}.weight"
        assert tensors[name].dtype == torch.bfloat16
        assert tensors[name].shape == live[name].shape
        if isinstance(level, Bits) and linear.name != gone:
            weight = Database.open(levels).weight(linear, level)
            assert torch.equal(tensors[name], weight.T if linear.transposed else weight)
            assert not torch.equal(tensors[name], live[name])
            changed.add(name)
    assert set(tensors) == {space.anatomy.live(name) for name in before}
    for name in set(tensors) - changed:
        assert torch.equal(tensors[name], before[space.anatomy.stored(name)])
