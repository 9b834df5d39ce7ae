from pathlib import Path

import numpy as np
import pytest

from evolve.export.profile_card import (
    CONV1D,
    OVERRIDDEN,
    VLLM,
    ZEROS,
    notes,
    packs,
    profile_card,
)
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ProfileSpace, ZeroGrid
from tests.evolve.export.profiles import gpt2, mixed, record_of, write_levels, write_model
from tests.evolve.genomes.compression import families

GRID = BitGrid((2, 3), group=16, dense=True)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> ProfileSpace:
    folder = tmp_path_factory.mktemp("card")
    model = write_model(folder / "model", "llama")
    levels = write_levels(folder / "levels", model, GRID)
    return ProfileSpace.of(model, levels, grid=GRID, depth=True)


def test_says_what_it_is_made_of(llama: ProfileSpace) -> None:
    profile = mixed(llama, attention=(1,))
    text = profile_card("knee", record_of(profile), {"Objectives": "KL and bytes"})
    for words in (
        "base_model_relation: quantized",
        "- compressed-tensors",
        f"## Notes\n\n- {VLLM}\n- Removed but still",
        "## Objectives\n\nKL and bytes",
        "birth 7",
        "| 1 | removed | gate_proj+up_proj b2g16, down_proj b3g16 |",
        "| 0 | q_proj+k_proj+v_proj b2g16, o_proj b3g16 |",
        "| average bits |",
        "It states none; ask its owner",
        'from_pretrained("knee")',
    ):
        assert words in text


def test_notes_fit_the_profile(llama: ProfileSpace, tmp_path: Path) -> None:
    assert notes(mixed(llama)) == [VLLM]
    told = notes(mixed(llama, attention=(1, 2), mlp=(2,)))
    assert told[1:] == [
        "Deleted, by the original's numbers: blocks 2.",
        "Removed but still in the file, as zeros that take their bytes, by the original's "
        "numbers: attention of block 1.",
    ]
    model = write_model(tmp_path / "model", "llama")
    assert notes(mixed(ProfileSpace.of(model, depth=True))) == []
    grid = ZeroGrid(reach=1)
    sparse = ProfileSpace.of(model, write_levels(tmp_path / "levels", model, grid), grid=grid)
    assert notes(mixed(sparse)) == [ZEROS]
    assert "base_model_relation: finetune" in profile_card("t", record_of(mixed(sparse)), {})


def test_transposed_layers_are_not_packed(llama: ProfileSpace, tmp_path: Path) -> None:
    model = gpt2(tmp_path / "model")
    levels = write_levels(tmp_path / "levels", model, GRID)
    profile = mixed(ProfileSpace.of(model, levels, grid=GRID))
    assert not packs(profile)
    assert notes(profile) == [CONV1D]
    assert packs(mixed(llama))


def test_layers_with_a_forward_of_their_own_are_not_packed(tmp_path: Path) -> None:
    model = families.write(tmp_path / "model", "falcon")
    levels = families.write_database(tmp_path / "levels", model, GRID)
    profile = mixed(ProfileSpace.of(model, levels, grid=GRID))
    assert not packs(profile)
    assert notes(profile) == [OVERRIDDEN]
    assert "base_model_relation: finetune" in profile_card("t", record_of(profile), {})


def test_vllm_is_told_off_where_a_fused_matrix_has_parts_at_different_levels(
    llama: ProfileSpace,
) -> None:
    untied = ProfileSpace.of(
        llama.anatomy.source.path, llama.database, grid=GRID, depth=True, tied=False
    )
    same = CompressionProfile.at(untied, np.zeros(28, int))
    assert notes(same) == [VLLM]
    for own, at in (("k_proj", 1), ("up_proj", 2)):  # other bits; no scheme at all
        levels = same.levels.copy()
        levels[[unit.linears[0].own for unit in untied.units].index(own, 7)] = at
        (told,) = notes(CompressionProfile.at(untied, levels))
        assert told.startswith("Not for vLLM")
        assert "1 of them" in told
        assert f"model.layers.1.{'self_attn' if at == 1 else 'mlp'}.{own} " in told
        assert "tied=True" in told
        gone = np.arange(4) != 1
        (gone_too,) = notes(CompressionProfile.at(untied, levels, gone, gone))[:1]
        assert gone_too == VLLM
