"""Builds: what they hold, for any number of workers, killed, damaged, refused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch

from evolve.errors import GenomeError
from evolve.genomes.compression import database
from evolve.genomes.compression.anatomy import Anatomy
from evolve.genomes.compression.database import MANIFEST, Database, file_of
from evolve.genomes.compression.space import BitGrid, ProfileSpace, ZeroGrid
from evolve.levels.build import Plan, build
from evolve.levels.settings import Method, Settings
from tests.evolve.genomes.compression.families import rewrite, stored, write

GRID = BitGrid((2, 4), 16)
BITS = Settings(GRID, Method.GPTQ)
TOKENS = np.random.default_rng(0).integers(3, 64, (4, 24))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("model") / "it", "llama", dtype=torch.bfloat16)


def planned(model: Path, out: Path, settings: Settings = BITS) -> Plan:
    return Plan.of(Anatomy.of(model), settings, TOKENS, out)


def files(folder: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in (*folder.glob("*.safetensors"), folder / MANIFEST)}


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
@pytest.mark.parametrize(
    "settings",
    [
        BITS,
        Settings(GRID, Method.RTN),
        Settings(ZeroGrid(0.5, 2, 8), Method.SPARSEGPT),
        Settings(ZeroGrid(0.5, 2, 8), Method.MAGNITUDE, tied=False),
    ],
)
def test_what_is_built_is_what_a_space_wants(
    family: str, settings: Settings, tmp_path: Path
) -> None:
    model = write(tmp_path / "model", family)
    plan = planned(model, tmp_path / "levels", settings)
    built = build(plan)
    space = ProfileSpace.of(model, plan.out, grid=settings.grid, tied=settings.tied)
    for linear in space.anatomy.linears:
        key = space.anatomy.stored(f"{linear.name}.weight")
        weight = stored(model)[key]
        norm = float((weight**2).mean())
        for level in built.levels(linear.name):
            found = built.weight(linear, level)
            found = found.T if linear.transposed else found
            # A transposed matrix would be off by twice its norm.
            assert float(((found - weight) ** 2).mean()) < norm
            assert built.error(linear.name, level) > 0
    size = sum(len(each) for name, each in files(plan.out).items() if name != MANIFEST)
    assert size <= plan.bytes_of(plan.levels) + 200 * len(plan.levels)
    assert plan.dense_bytes == 4 * sum(
        linear.size * len(plan.levels[linear.name]) for linear in space.anatomy.linears
    )


@pytest.mark.ray
@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_workers(
    model: Path, tmp_path: Path, cluster: None
) -> None:
    found = []
    for workers in (0, 2):
        plan = planned(model, tmp_path / str(workers))
        build(plan, workers=workers)
        found.append(files(plan.out))
    assert found[0] == found[1]


def test_stopped_anywhere_it_goes_on_without_repeating(model: Path, tmp_path: Path) -> None:
    whole = planned(model, tmp_path / "whole")
    build(whole)

    def stop(name: str, n_done: int) -> None:
        seen.append(name)
        if len(seen) == 3:
            raise KeyboardInterrupt

    plan = planned(model, tmp_path / "parts")
    every: list[str] = []
    for _ in range(4):
        seen: list[str] = []
        with pytest.raises(KeyboardInterrupt):
            build(plan, progress=stop)
        assert not (plan.out / MANIFEST).exists()
        every += seen
    build(plan, progress=lambda name, n_done: every.append(name))
    assert sorted(every) == sorted(plan.levels)
    assert files(plan.out) == files(whole.out)


KILLED = """
import os, signal, sys
from pathlib import Path
from evolve.levels.build import build
from tests.evolve.levels.test_build import planned

def progress(name, n_done):
    print(name, flush=True)
    if n_done == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

build(planned(Path(sys.argv[1]), Path(sys.argv[2])), progress=progress)
"""


@pytest.mark.slow  # another process imports transformers
def test_killed_and_resumed_it_ends_in_the_same_bytes(model: Path, tmp_path: Path) -> None:
    whole = planned(model, tmp_path / "whole")
    build(whole)
    killed = planned(model, tmp_path / "killed")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(model), str(killed.out), "5"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    solved = done.stdout.split()
    assert len(solved) == 5
    build(killed, progress=lambda name, n_done: solved.append(name))
    assert sorted(solved) == sorted(whole.levels)
    assert files(killed.out) == files(whole.out)


def test_a_damaged_file_is_made_anew(model: Path, tmp_path: Path) -> None:
    plan = planned(model, tmp_path / "levels")
    build(plan)
    before = files(plan.out)
    name = plan.anatomy.linears[5].name
    file = plan.out / file_of(name)
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    database._read.cache_clear()  # what another process would find
    with pytest.raises(GenomeError, match="was changed or damaged"):
        Database.open(plan.out)
    again: list[str] = []
    build(plan, progress=lambda name, n_done: again.append(name))
    assert again == [name]
    assert files(plan.out) == before


def test_another_model_or_other_settings_are_refused(model: Path, tmp_path: Path) -> None:
    plan = planned(model, tmp_path / "levels")
    build(plan)
    before = files(plan.out)
    other = write(tmp_path / "other", "llama", dtype=torch.bfloat16, tie_word_embeddings=True)
    with pytest.raises(GenomeError, match="of another model"):
        build(planned(other, plan.out))
    with pytest.raises(GenomeError, match="other settings: method"):
        build(planned(model, plan.out, Settings(GRID, Method.RTN)))
    with pytest.raises(GenomeError, match="other settings: calibration"):
        build(Plan.of(Anatomy.of(model), BITS, TOKENS[:2], plan.out))
    assert files(plan.out) == before


def test_nan_names_the_layer_and_keeps_what_is_done(model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    tensors = stored(broken)
    tensors["model.layers.1.mlp.up_proj.weight"][3, 3] = torch.nan
    rewrite(broken, tensors)
    out = tmp_path / "levels"
    with pytest.raises(GenomeError, match=r"model\.layers\.1\.mlp\.\w+.*NaN"):
        build(planned(broken, out))
    assert (out / file_of("model.layers.0.mlp.up_proj")).exists()
    assert not (out / MANIFEST).exists()


def test_groups_that_do_not_divide_are_refused_before_work(model: Path, tmp_path: Path) -> None:
    with pytest.raises(GenomeError, match="which groups of 64 do not divide"):
        planned(model, tmp_path / "levels", Settings(BitGrid(group=64), Method.RTN))
    assert not (tmp_path / "levels").exists()


def test_a_full_disk_is_found_before_work(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")(1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    with pytest.raises(GenomeError, match=r"needs [\d,]+ bytes, the disk .* has 1,048,576 free"):
        build(planned(model, tmp_path / "levels"))
