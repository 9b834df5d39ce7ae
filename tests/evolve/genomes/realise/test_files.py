from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from evolve.errors import CheckpointError
from evolve.genomes.realise.files import Blank, built, opened, written


def test_what_is_written_is_read(tmp_path: Path) -> None:
    blanks = {
        "bytes": Blank("U8", (3,)),
        "wide": Blank("I64", (2, 2)),
        "none": Blank("F64", (0,)),
        "floats": Blank("F32", (5,)),
    }
    with written(tmp_path / "x", blanks, {"why": "test"}) as into:
        into["bytes"][1] = 255
        into["wide"][1, 0] = -(2**40)
        into["floats"].copy_(torch.arange(5) / 2)
    tensors, facts = opened(tmp_path / "x")
    assert tensors["bytes"].tolist() == [0, 255, 0]
    assert tensors["wide"].tolist() == [[0, 0], [-(2**40), 0]]
    assert tensors["none"].tolist() == []
    assert tensors["floats"].tolist() == [0, 0.5, 1, 1.5, 2]
    assert facts["why"] == "test"


def test_one_builds_and_the_others_wait(tmp_path: Path) -> None:
    calls = []

    def build(file: Path) -> None:
        calls.append(1)
        with written(file, {"x": Blank("U8", (2,))}, {}):
            pass

    file = tmp_path / "deep" / "x.safetensors"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: built(file, build), range(8)))
    assert calls == [1]
    assert opened(file)[0]["x"].tolist() == [0, 0]


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def full(file: Path) -> None:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    file = tmp_path / "x.safetensors"
    with pytest.raises(CheckpointError, match=r"No space left.*EVOLVE_CACHE"):
        built(file, full)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".lock"}


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    file = tmp_path / "random-2.0+cpu.safetensors"
    stale = tmp_path / "random-2.0+cpu.999999999"
    others = [tmp_path / "deltas.12", tmp_path / "random-2.0+cpu.lock", tmp_path / "random-2.0"]
    for path in (stale, *others):
        path.write_bytes(b"half")
    built(file, lambda scratch: written_to(scratch))
    assert file.is_file()
    assert not stale.exists()
    assert all(path.exists() for path in others)


def written_to(file: Path) -> None:
    with written(file, {"x": Blank("U8", (2,))}, {}):
        pass


def test_a_disk_that_is_too_small_is_an_error_not_a_crash(tmp_path: Path) -> None:
    def huge(file: Path) -> None:
        with written(file, {"x": Blank("U8", (1 << 60,))}, {}):
            pass

    with pytest.raises(CheckpointError, match=r"cannot be written"):
        built(tmp_path / "x.safetensors", huge)
