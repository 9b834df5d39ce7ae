from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evolve.errors import GenomeError
from evolve.genomes.compression.database import MANIFEST, PLAN, file_of
from evolve.levels.folder import JOURNAL, begin, facts_of, finished, held, seal, store

LAYERS = {"a": ["b2g16"], "b": ["b2g16"]}
SETTINGS: dict[str, Any] = {"method": "gptq", "damping": 0.01}
FACTS = facts_of("f" * 64, SETTINGS, LAYERS)


def test_from_nothing_to_the_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "levels"
    with held(folder):
        begin(folder, FACTS)
        assert finished(folder, LAYERS) == {}
        done = {name: store(folder, name, name.encode() * 9) for name in LAYERS}
        assert finished(folder, LAYERS) == done
        assert not (folder / MANIFEST).exists()
        seal(folder, FACTS, done)
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["layers"]["a"] == {"levels": ["b2g16"], "sha256": done["a"]}
    assert manifest["model"] == "f" * 64
    assert (folder / file_of("b")).read_bytes() == b"b" * 9


def test_only_whole_noted_files_are_finished(tmp_path: Path) -> None:
    with held(tmp_path):
        begin(tmp_path, FACTS)
        for name in LAYERS:
            store(tmp_path, name, name.encode())
        (tmp_path / file_of("b")).write_bytes(b"changed")
        assert list(finished(tmp_path, LAYERS)) == ["a"]
        (tmp_path / file_of("a")).unlink()
        assert finished(tmp_path, LAYERS) == {}
        (tmp_path / file_of("c")).write_bytes(b"not in the journal")
        assert finished(tmp_path, {"c": []}) == {}


def test_a_kill_within_a_line_or_a_file_loses_that_one_only(tmp_path: Path) -> None:
    with held(tmp_path):
        begin(tmp_path, FACTS)
        store(tmp_path, "a", b"a")
        with (tmp_path / JOURNAL).open("ab") as journal:
            journal.write(b'\n{"name": "b", "sha')
        (tmp_path / "b.safetensors.part").write_bytes(b"half")
    with held(tmp_path):
        begin(tmp_path, FACTS)
        assert list(finished(tmp_path, LAYERS)) == ["a"]
        assert not (tmp_path / "b.safetensors.part").exists()
        store(tmp_path, "b", b"b")
        assert sorted(finished(tmp_path, LAYERS)) == ["a", "b"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (facts_of("e" * 64, SETTINGS, LAYERS), "of another model .ffffffffffff, not eeeeeeeee"),
        (facts_of("f" * 64, {**SETTINGS, "damping": 0.1}, LAYERS), "damping 0.01, not 0.1"),
        (facts_of("f" * 64, SETTINGS, {"a": ["b2g16"]}), "other settings: layers"),
    ],
)
def test_another_build_is_refused(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    with held(tmp_path):
        begin(tmp_path, FACTS)
        with pytest.raises(GenomeError, match=message):
            begin(tmp_path, other)
        begin(tmp_path, FACTS)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    with held(tmp_path), pytest.raises(GenomeError, match=r"other files, such as thesis\.tex"):
        begin(tmp_path, FACTS)


def test_a_damaged_plan(tmp_path: Path) -> None:
    (tmp_path / PLAN).write_text("{")
    with held(tmp_path), pytest.raises(GenomeError, match="is damaged"):
        begin(tmp_path, FACTS)


def test_two_builds_at_once(tmp_path: Path) -> None:
    with (
        held(tmp_path),
        pytest.raises(GenomeError, match="Another build is at work"),
        held(tmp_path),
    ):
        pass


def test_no_place_to_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GenomeError, match="cannot be written"), held(tmp_path / "file" / "levels"):
        pass
