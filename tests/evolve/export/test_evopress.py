from pathlib import Path

import pytest

from evolve.errors import ExportError
from evolve.export.evopress import (
    BITS,
    DEPTH,
    SPARSITY,
    bits_text,
    depth_text,
    evopress_texts,
    read_bits,
    read_depth,
    read_sparsity,
    sparsity_text,
)
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ProfileSpace, ZeroGrid
from tests.evolve.export.profiles import mixed, write_levels, write_model

FEW_BITS = BitGrid((2, 3, 4), group=16)
ZEROS = ZeroGrid(reach=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "m", "llama")


@pytest.fixture(scope="module")
def bits(model: Path) -> ProfileSpace:
    levels = write_levels(model.parent / "bits", model, FEW_BITS)
    return ProfileSpace.of(model, levels, grid=FEW_BITS, depth=True)


@pytest.fixture(scope="module")
def zeros(model: Path) -> ProfileSpace:
    levels = write_levels(model.parent / "zeros", model, ZEROS, tied=False)
    return ProfileSpace.of(model, levels, grid=ZEROS, tied=False)


def test_depth_is_a_word_a_block(bits: ProfileSpace) -> None:
    profile = mixed(bits, attention=(1, 3), mlp=(2, 3))
    text = depth_text(profile)
    assert text == "none\nattn\nmlp\nattn+mlp\n"
    attention, mlp = read_depth(text, 4)
    assert (attention == profile.attention).all()
    assert (mlp == profile.mlp).all()


def test_bits_come_back(bits: ProfileSpace) -> None:
    profile = mixed(bits)
    text = bits_text(profile)
    assert text.splitlines()[0] == "model.layers.0.self_attn.q_proj: 2"
    assert len(text.splitlines()) == len(bits.anatomy.linears)
    assert (read_bits(text, bits) == profile.levels).all()
    backwards = "\n\n".join(reversed(text.splitlines()))
    assert (read_bits(backwards, bits) == profile.levels).all()


def test_signed_levels_count_steps_of_more_zeros(zeros: ProfileSpace) -> None:
    levels = CompressionProfile.uniform(zeros).levels.copy()
    levels[0] -= 2  # fewer weights kept
    levels[-1] += 2
    profile = CompressionProfile.at(zeros, levels)
    lines = sparsity_text(profile).splitlines()
    assert lines[0] == "model.layers.0.self_attn.q_proj: 2"
    assert lines[1].endswith(": 0")
    assert lines[-1] == "model.layers.3.mlp.down_proj: -2"
    assert (read_sparsity("\n".join(lines), zeros) == levels).all()


def test_uniform_is_zero_everywhere(zeros: ProfileSpace) -> None:
    text = sparsity_text(CompressionProfile.uniform(zeros))
    assert {line.rpartition(" ")[2] for line in text.splitlines()} == {"0"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("none\nboth\nmlp\nnone\n", "Line 2 is 'both'"),
        ("none\n\nattn+mlp\n", "ends after 2 blocks, the model has 4"),
        ("none\n" * 5, "Line 5 is of block 4; the model has 4"),
    ],
)
def test_depth_errors_name_the_line(text: str, words: str) -> None:
    with pytest.raises(ExportError, match=words):
        read_depth(text, 4)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("q_proj: 2", "q_proj = 2", "Line 1 is 'model.layers.0.self_attn.q_proj = 2'"),
        ("q_proj: 2", "q_proj: 4.5", "Line 1 is"),
        ("q_proj: 2", "q_proj: 8", "Line 1: 0.attention.q_proj.* has no level 8; it has 2, 3, 4"),
        ("k_proj: 2", "k_proj: 3", "Line 2: .* shares a level and was at 2, not 3"),
        ("k_proj: 2", "q_proj: 2", "Line 2: .*q_proj stands in line 1 already"),
        ("k_proj: 2", "z_proj: 2", "Line 2: the model has no linear layer 'model.*z_proj'"),
        (
            "model.layers.0.self_attn.k_proj: 2\n",
            "",
            "no line for model.layers.0.self_attn.k_proj",
        ),
    ],
)
def test_errors_name_the_line(bits: ProfileSpace, old: str, new: str, words: str) -> None:
    text = bits_text(mixed(bits))
    assert old in text
    with pytest.raises(ExportError, match=words):
        read_bits(text.replace(old, new, 1), bits)


def test_forms_that_cannot_hold_the_profile(
    model: Path, bits: ProfileSpace, zeros: ProfileSpace
) -> None:
    with pytest.raises(ExportError, match="holds bits only"):
        bits_text(mixed(zeros))
    with pytest.raises(ExportError, match="needs a space whose grid is a ZeroGrid"):
        sparsity_text(mixed(bits))
    levels = write_levels(model.parent / "tied", model, ZEROS)
    tied = ProfileSpace.of(model, levels, grid=ZEROS)
    with pytest.raises(ExportError, match="tied=False"):
        sparsity_text(mixed(tied))


def test_the_texts_of_a_profile_hold_all_of_it(
    model: Path, bits: ProfileSpace, zeros: ProfileSpace
) -> None:
    profile = mixed(bits, attention=(1,))
    assert evopress_texts(profile) == {BITS: bits_text(profile), DEPTH: depth_text(profile)}
    assert evopress_texts(mixed(zeros)) == {SPARSITY: sparsity_text(mixed(zeros))}
    alone = mixed(ProfileSpace.of(model, depth=True), mlp=(0,))
    assert evopress_texts(alone) == {DEPTH: depth_text(alone)}
