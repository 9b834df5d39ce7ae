from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
import typer
from rich.console import Console

from evolve.errors import GenomeError
from evolve.genomes.compression.anatomy import Anatomy, Names
from evolve.genomes.compression.database import MANIFEST, PLAN, Database, file_of
from evolve.genomes.compression.level import Bits, Dense, Level, Zeros
from evolve.genomes.compression.packing import dense
from evolve.genomes.compression.space import BitGrid, ProfileSpace, ZeroGrid, units_of, wanted
from evolve.levels.cli import grid_of, levels_app, names_of
from tests.evolve.genomes.compression.families import write, write_database

GRID = BitGrid((2, 4), 16)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("model") / "it", "llama", dtype=torch.bfloat16)


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    return write_database(tmp_path / "levels", model, GRID)


def over(
    model: Path, grid: BitGrid | ZeroGrid, *, tied: bool = True, names: Names | None = None
) -> ProfileSpace:
    """A space that has not looked at any database."""
    return ProfileSpace(Anatomy.of(model, names), None, grid, False, tied, names)


def test_what_it_holds(model: Path, folder: Path) -> None:
    found, anatomy = Database.open(folder), Anatomy.of(model)
    assert found.model == anatomy.source.digest
    found.check(over(model, GRID))
    for linear in anatomy.linears:
        assert found.levels(linear.name) == (Bits(2, 16), Bits(4, 16))
        for level in found.levels(linear.name):
            weight = found.weight(linear, level)
            assert weight.shape == (linear.rows, linear.columns)
            assert weight.dtype == torch.bfloat16
            packed = found.packed(linear.name, level)
            assert sorted(packed) == ["codes", "scales"]
            assert isinstance(level, Bits)
            assert torch.equal(weight, dense(level, packed, linear.columns))
            assert found.error(linear.name, level) == 0.0
    assert found.levels("no.such.layer") == ()


def test_it_is_opened_once_and_told_by_its_content(model: Path, folder: Path) -> None:
    assert Database.open(folder).layers is Database.open(str(folder)).layers
    copied = folder.with_name("copy")
    shutil.copytree(folder, copied)
    assert Database.open(copied).digest == Database.open(folder).digest


@pytest.mark.parametrize("level", [Bits(3, 16), Bits(2, 32), Zeros(8), Dense()])
def test_a_level_that_is_not_there_is_named(model: Path, folder: Path, level: Level) -> None:
    linear = Anatomy.of(model).linears[0]
    with pytest.raises(GenomeError, match=rf"{linear.name} at b2g16, b4g16, not at {level.name}"):
        Database.open(folder).weight(linear, level)


def test_missing_levels_are_named_with_what_builds_them(model: Path, folder: Path) -> None:
    more = over(model, BitGrid((2, 3), 16))
    with pytest.raises(GenomeError, match=r"lacks 14 of 28 levels: .*q_proj at b3g16") as caught:
        Database.open(folder).check(more)
    assert "--bits 2,3 --group 16" in str(caught.value)


@pytest.mark.parametrize(
    ("grid", "tied", "names"),
    [
        (ZeroGrid(0.4, reach=3, divisor=2), False, None),
        (ZeroGrid(0.25, reach=2, divisor=1), True, None),
        (BitGrid((3, 8), 8, dense=True), False, None),
        (ZeroGrid(), False, Names("model.layers", "self_attn", "mlp", "o_proj", "down_proj")),
    ],
)
def test_the_command_that_is_named_builds_what_is_missing(
    model: Path, tmp_path: Path, grid: BitGrid | ZeroGrid, tied: bool, names: Names | None
) -> None:
    space = over(model, grid, tied=tied, names=names)
    zeros = write_database(tmp_path / "levels", model, ZeroGrid(0.5, reach=1))
    with pytest.raises(GenomeError, match="lacks") as caught:
        Database.open(zeros).check(space)
    found = re.search(r"`evolve (.*)`", str(caught.value))
    assert found is not None
    app = typer.Typer()
    app.add_typer(levels_app(Console), name="levels")
    command = typer.main.get_command(app)
    words = shlex.split(found[1])
    for name in words[:2]:  # levels, build
        command = vars(command)["commands"][name]
    said = command.make_context("build", words[2:]).params
    assert (said["out"], said["text"]) == (Path("DIR"), Path("FILE"))
    given = (said["bits"], said["group"], said["sparsity"], said["reach"], said["divisor"])
    built, called = grid_of(*given), names_of(said["names"])
    assert (called, not said["no_ties"]) == (names, tied)
    assert type(built) is type(grid)
    there = units_of(Anatomy.of(said["model"], called), built, not said["no_ties"])
    assert wanted(there) == wanted(space.units)


def test_a_tied_database_of_zeros_is_no_untied_one(model: Path, tmp_path: Path) -> None:
    grid = ZeroGrid(0.5, reach=2)
    folder = write_database(tmp_path / "levels", model, grid)
    ProfileSpace.of(model, folder, grid=grid)
    with pytest.raises(GenomeError, match=r"--sparsity 0.5 --reach 2 --divisor 4 --no-ties`"):
        ProfileSpace.of(model, folder, grid=grid, tied=False)


def test_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    other = over(write(tmp_path / "other", "mistral"), GRID)
    with pytest.raises(GenomeError, match=r"was made from a model with digest .*--bits 2,4 "):
        Database.open(folder).check(other)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(GenomeError, match="is no level database"):
        Database.open(tmp_path)
    with pytest.raises(GenomeError, match="is no level database"):
        Database.open(tmp_path / "absent")


def test_an_unfinished_build(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    (folder / PLAN).write_text("{}")
    with pytest.raises(GenomeError, match="is unfinished; run the same"):
        Database.open(folder)


def test_a_changed_file_is_noticed(model: Path, folder: Path) -> None:
    file = folder / file_of(Anatomy.of(model).linears[3].name)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(GenomeError, match=rf"{file.name} was changed or damaged"):
        Database.open(folder)
    file.unlink()
    with pytest.raises(GenomeError, match=rf"{file.name} is gone"):
        Database.open(folder)


def test_a_database_built_anew_is_read_anew(model: Path, folder: Path) -> None:
    linear = Anatomy.of(model).linears[0]
    before = Database.open(folder).weight(linear, Bits(2, 16))
    shutil.rmtree(folder)
    write_database(folder, model, BitGrid((2, 3), 16))
    os.utime(folder / MANIFEST, (1, 1))
    found = Database.open(folder)
    assert found.levels(linear.name) == (Bits(2, 16), Bits(3, 16))
    assert torch.equal(found.weight(linear, Bits(2, 16)), before)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1}', '{"format": 1, "model": 3}'])
def test_a_damaged_manifest(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_text(content)
    with pytest.raises(GenomeError, match="is damaged"):
        Database.open(folder)


def test_another_format(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(GenomeError, match="has format 99"):
        Database.open(folder)
