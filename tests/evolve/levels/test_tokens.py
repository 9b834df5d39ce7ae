from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from evolve.errors import GenomeError
from evolve.levels.tokens import tokens_of
from experiments import material
from tests.evolve.genomes.compression.families import write

TEXT = "Once upon a time there was a little cat. The cat sat on a mat and was glad. " * 40


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path / "text.txt"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It knows 64 tokens, reads 64, and has no tokenizer."""
    return write(tmp_path_factory.mktemp("model") / "tiny", "llama")


def test_a_text_by_the_model_s_tokenizer(text: Path) -> None:
    found = tokens_of(text, material.base(), 4, 32)
    assert found.shape == (4, 32)
    assert found.dtype == np.int64
    assert not found.flags.writeable
    assert not (found == 1).any()  # no <s>
    assert np.array_equal(found, tokens_of(text, material.base(), 4, 32))


def test_a_text_that_is_too_short(text: Path) -> None:
    with pytest.raises(GenomeError, match=r"text.txt is [\d,]+ tokens, 99 sequences of 128 are"):
        tokens_of(text, material.base(), 99, 128)


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_tokens_as_they_are(tmp_path: Path, model: Path, suffix: str) -> None:
    given = np.arange(60, dtype=np.int32).reshape(3, 20)
    file = tmp_path / f"tokens{suffix}"
    if suffix == ".npy":
        np.save(file, given)
    else:
        save_file({"tokens": given}, file)
    assert np.array_equal(tokens_of(file, model, 2, 16), given[:2, :16])
    with pytest.raises(GenomeError, match="3 sequences of 20 tokens, 4 of 20 were asked"):
        tokens_of(file, model, 4, 20)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 32)), "holds .* float64"),
        (np.zeros(64, np.int64), r"give \(n, length\) integers"),
        (np.full((4, 32), 64), "tokens from 64 to 64, the model tiny knows 0 to 63"),
        (np.full((4, 32), -1), "tokens from -1 to -1"),
    ],
)
def test_tokens_that_are_none(
    tmp_path: Path, model: Path, array: np.ndarray, message: str
) -> None:
    np.save(tmp_path / "tokens.npy", array)
    with pytest.raises(GenomeError, match=message):
        tokens_of(tmp_path / "tokens.npy", model, 4, 32)


def test_longer_than_the_model_reads(tmp_path: Path, model: Path) -> None:
    np.save(tmp_path / "tokens.npy", np.zeros((1, 65), np.int64))
    with pytest.raises(GenomeError, match=r"Sequences of 65 tokens .* reads 64"):
        tokens_of(tmp_path / "tokens.npy", model, 1, 65)


def test_no_file_no_tokenizer_no_text(tmp_path: Path, text: Path, model: Path) -> None:
    with pytest.raises(GenomeError, match="There is no file"):
        tokens_of(tmp_path / "absent.txt", model, 1, 8)
    with pytest.raises(GenomeError, match="no tokenizer"):
        tokens_of(text, model, 1, 8)
    (tmp_path / "bad.npy").write_bytes(b"no array")
    with pytest.raises(GenomeError, match="cannot be read"):
        tokens_of(tmp_path / "bad.npy", model, 1, 8)
    text.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(GenomeError, match="cannot be read as UTF-8"):
        tokens_of(text, material.base(), 1, 8)


def test_several_tensors_are_ambiguous(tmp_path: Path, model: Path) -> None:
    save_file({"a": np.zeros((1, 8), int), "b": np.zeros((1, 8), int)}, tmp_path / "t.safetensors")
    with pytest.raises(GenomeError, match=r"holds 2 tensors \(a, b\)"):
        tokens_of(tmp_path / "t.safetensors", model, 1, 8)


@pytest.mark.parametrize(("sequences", "length"), [(0, 8), (1, 1)])
def test_too_little_asked_for(text: Path, model: Path, sequences: int, length: int) -> None:
    with pytest.raises(GenomeError, match="give 1 or more of 2 or more"):
        tokens_of(text, model, sequences, length)
