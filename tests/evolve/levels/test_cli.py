from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from evolve.errors import GenomeError
from evolve.genomes.compression.anatomy import Anatomy, Names
from evolve.genomes.compression.database import MANIFEST, Database
from evolve.genomes.compression.level import Bits
from evolve.genomes.compression.space import BitGrid, ZeroGrid
from evolve.levels.cli import grid_of, levels_app, names_of
from tests.evolve.genomes.compression.families import write


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("model") / "tiny", "llama", dtype=torch.bfloat16)


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    np.save(tmp_path / "tokens.npy", np.random.default_rng(0).integers(3, 64, (4, 24)))
    return tmp_path / "tokens.npy"


def call(*words: object) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.add_typer(levels_app(lambda: Console(width=200, highlight=False)), name="levels")
    return CliRunner().invoke(app, ["levels", "build", *map(str, words)])


def built(model: Path, tokens: Path, out: Path, *words: object) -> Result:
    small = ("--sequences", 4, "--length", 24, "--workers", 0)
    return call(model, "--out", out, "--text", tokens, *small, *words)


def test_the_plan_comes_first_and_the_size_last(model: Path, tokens: Path, tmp_path: Path) -> None:
    out = tmp_path / "levels"
    found = built(model, tokens, out, "--bits", "2,4", "--group", 16)
    assert found.exception is None
    lines = found.stdout.splitlines()
    assert lines[0] == (
        "tiny: 2 blocks, 14 linear layers, 28 levels by gptq: bits 2, 4 in groups of 16"
    )
    assert lines[1] == "Calibration: 4 sequences of 24 tokens, 96 in all; damping 0.01"
    assert lines[2].startswith("Disk: 0.0 MB, 0.")
    assert lines[3].startswith("Time: about ")
    assert lines[4].startswith("Building in this process, in ")
    assert lines[5].startswith("1/14 layers, ")
    assert lines[-2].startswith("28 levels of 14 layers in ")
    assert "as dense copies" in lines[-2]
    database = Database.open(out)
    assert lines[-1] == f"Digest {database.digest}"
    linear = Anatomy.of(model).linears[0]
    assert database.levels(linear.name) == (Bits(2, 16), Bits(4, 16))
    again = built(model, tokens, out, "--bits", "2,4", "--group", 16)
    assert again.stdout.splitlines()[-1] == lines[-1]
    assert "1/14" not in again.stdout


def test_zeros(model: Path, tokens: Path, tmp_path: Path) -> None:
    out = tmp_path / "levels"
    found = built(model, tokens, out, "--sparsity", 0.5, "--reach", 2, "--divisor", 8)
    assert "by sparsegpt: zeros around 0.5 in 2 steps to either side" in found.stdout
    assert Database.open(out).settings["method"] == "sparsegpt"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--sequences", 5), "4 sequences of 24 tokens, 5 of 24 were asked"),
        (("--group", 48), "which groups of 48 do not divide"),
        (("--bits", "2,x"), "--bits is '2,x'"),
        (("--bits", "2", "--sparsity", 0.5), "two databases"),
        (("--method", "magnitude", "--group", 16), "magnitude makes no bits"),
        (("--names", "a,b", "--group", 16), "give five names"),
    ],
)
def test_bad_input_is_found_before_work(
    model: Path, tokens: Path, tmp_path: Path, words: tuple[object, ...], message: str
) -> None:
    found = built(model, tokens, tmp_path / "levels", *words)
    assert isinstance(found.exception, GenomeError)
    assert message in str(found.exception)
    assert not (tmp_path / "levels" / MANIFEST).exists()


def test_options() -> None:
    assert grid_of(None, 32, None, 8, 4) == BitGrid((2, 3, 4, 5, 6), 32)
    assert grid_of("3", 64, None, 8, 4) == BitGrid((3,), 64)
    assert grid_of(None, 64, 0.6, 3, 2) == ZeroGrid(0.6, 3, 2)
    assert names_of(None) is None
    assert names_of("a,b,c,d,e") == Names("a", "b", "c", "d", "e")
