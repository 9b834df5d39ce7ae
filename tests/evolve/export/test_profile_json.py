import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolve.errors import ExportError
from evolve.export.profile_json import profile_json, read_profile
from evolve.genome import digest
from evolve.genomes.compression.budget import file_bytes, latency
from evolve.genomes.compression.level import level_of
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ProfileSpace, ZeroGrid
from tests.evolve.export.profiles import mixed, write_levels, write_model

GRID = BitGrid((2, 4), group=16, dense=True)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> ProfileSpace:
    folder = tmp_path_factory.mktemp("space")
    model = write_model(folder / "model", "llama")
    return ProfileSpace.of(
        model, write_levels(folder / "levels", model, GRID), grid=GRID, depth=True
    )


def written(profile: CompressionProfile, file: Path, **changes: Any) -> Path:
    file.write_text(json.dumps({**profile_json(profile), **changes}))
    return file


@pytest.mark.parametrize("removed", [((), ()), ((0, 2), (2, 3))])
def test_what_is_written_is_read(
    space: ProfileSpace, removed: tuple[tuple[int, ...], tuple[int, ...]], tmp_path: Path
) -> None:
    profile = mixed(space, *removed)
    found = read_profile(written(profile, tmp_path / "p.json"), space)
    assert digest(found) == digest(profile)


@pytest.mark.parametrize("grid", [None, ZeroGrid(reach=2)])
def test_depth_alone_and_zeros(grid: ZeroGrid | None, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "llama")
    levels = None if grid is None else write_levels(tmp_path / "levels", model, grid)
    space = ProfileSpace.of(model, levels, grid=grid, depth=True)
    profile = mixed(space, attention=(1,))
    found = read_profile(written(profile, tmp_path / "p.json"), space)
    assert digest(found) == digest(profile)


def test_says_what_people_ask(space: ProfileSpace) -> None:
    profile = mixed(space, attention=(1,), mlp=(1, 3))
    table = {
        (linear.name, level.name): 1e-6
        for unit in space.units
        for at in unit.levels
        for linear, level in zip(unit.linears, at)
    }
    found = profile_json(profile, [latency(space, table, 0.0)])
    assert found["removed"] == {"attention": [1], "mlp": [1, 3]}
    assert found["costs"]["bytes"] == {"value": file_bytes(space).of(profile), "unit": "B"}
    assert found["costs"]["latency"]["value"] == 1000 * (4 * 7 - 4 - 3 - 3)
    assert found["levels"]["model.layers.0.self_attn.q_proj"] == "b2g16"
    assert {level_of(name).name for name in found["levels"].values()} == {
        "b2g16",
        "b4g16",
        "dense",
    }
    assert found["model"] == {"name": "model", "sha256": space.anatomy.source.digest}
    assert 2 < found["costs"]["average bits"]["value"] < 32


def test_others_are_refused_by_name(space: ProfileSpace, tmp_path: Path) -> None:
    profile, file = mixed(space), tmp_path / "p.json"
    cases: dict[str, dict[str, Any]] = {
        "for a model with sha256 ab": {"model": {"name": "m", "sha256": "ab"}},
        "for a database with sha256 cd": {"database": "cd"},
        "format 2, this version reads 1": {"format": 2},
        "block 4; the model has 0 to 3": {"removed": {"attention": [4], "mlp": []}},
        "is no profile": {"levels": None, "removed": {}},
        "has \\[\\] as levels, not an object of level names": {"levels": []},
        "has 'b4' as levels": {"levels": "b4"},
        "has None as levels": {"levels": None},
        "as removed parts, not lists of blocks": {"removed": {"attention": 3, "mlp": []}},
        "q_proj at 3, model": {"levels": {"model.layers.0.self_attn.q_proj": 3}},
        "q_proj at b3g16": {
            "levels": {
                **profile_json(profile)["levels"],
                "model.layers.0.self_attn.q_proj": "b3g16",
            }
        },
    }
    for words, changes in cases.items():
        with pytest.raises(ExportError, match=words):
            read_profile(written(profile, file, **changes), space)
    with pytest.raises(ExportError, match="is no profile"):
        read_profile(tmp_path / "none.json", space)


def test_the_space_decides_what_is_tied(space: ProfileSpace, tmp_path: Path) -> None:
    untied = ProfileSpace.of(
        space.anatomy.source.path, space.database, grid=GRID, depth=True, tied=False
    )
    levels = np.array([i % 3 for i in range(len(untied.units))])
    file = written(CompressionProfile.at(untied, levels), tmp_path / "p.json")
    assert read_profile(file, untied).levels.tolist() == levels.tolist()
    with pytest.raises(ExportError, match="the ties"):
        read_profile(file, space)
