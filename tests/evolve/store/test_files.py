"""Whole files at local folders and at fsspec URLs: one contract for both."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from evolve.errors import StoreError
from evolve.store.files import Folder, Place, place_of, settled


@pytest.fixture(params=["folder", "file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    where = {
        "folder": str(tmp_path / "place"),
        "file": f"file://{tmp_path}/place",
        "memory": f"memory://{tmp_path}/place",
    }
    return place_of(where[request.param])


def test_files_come_back_under_their_names(place: Place, tmp_path: Path) -> None:
    assert place.names() == set()
    assert not place.has("ab/one")
    place.write("ab/one", b"1")
    (tmp_path / "source").write_bytes(b"2" * 3_000_000)
    place.put(tmp_path / "source", "two")
    assert place.names() == {"ab/one", "two"}, "and no temporary one"
    assert place.has("ab/one")
    assert (place.read("ab/one"), place.read("two")) == (b"1", b"2" * 3_000_000)
    place.write("ab/one", b"3")
    assert place.read("ab/one") == b"3"
    with pytest.raises(FileNotFoundError):
        place.read("ab/three")


def test_what_breaks_off_leaves_the_old_file(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("one", b"old")

    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("no route") if isinstance(arguments[0], MemoryFileSystem) else OSError

    monkeypatch.setattr(os, "fsync", broken)
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", broken)
    with pytest.raises(OSError):
        place.write("one", b"new")
    assert place.read("one") == b"old"


@pytest.mark.parametrize("url", ["nosuch://bucket/run", "s3://bucket/run"])
def test_a_protocol_that_is_not_there_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(StoreError, match=f"Cannot use {url}.*fsspec can open here"):
        place_of(url)
    with pytest.raises(StoreError, match=f"Cannot use {url}"):
        settled(url)


def test_a_place_is_the_same_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert settled("vault") == str(tmp_path / "vault")
    assert settled(f"file://{tmp_path}/vault") == str(tmp_path / "vault")
    assert settled("memory://vault") == "memory://vault"
    assert isinstance(place_of(tmp_path / "a://b"), Folder)
