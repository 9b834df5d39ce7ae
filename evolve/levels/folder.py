"""The folder of a level database while it is made: what is to be built, and what is done.

`building.json` says what, before any work; each finished file is written under another name,
synced, renamed, and then noted in the journal with its sha256; `manifest.json` comes last. So a
build that is killed at any moment is resumed with what is done, and ends in the same bytes.
Knows no tensors.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evolve.errors import GenomeError
from evolve.genome import Json
from evolve.genomes.compression.database import FORMAT, MANIFEST, PLAN, file_of

JOURNAL = "journal.jsonl"
LOCK = ".lock"
PART = ".part"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make `folder` if need be and hold it: one build at a time. Raises `GenomeError`."""
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise GenomeError(
            f"Another build is at work in {folder}; wait for it, or build elsewhere."
        ) from None
    except OSError as error:
        raise GenomeError(
            f"{folder} cannot be written ({error.strerror}); give another directory."
        ) from error
    try:
        yield
    finally:
        lock.release()


def begin(folder: Path, facts: Mapping[str, Json]) -> None:
    """Note what is to be built in the held `folder`; a build of the very same is resumed.

    Raises `GenomeError` if `folder` holds something else.
    """
    for scratch in folder.glob(f"*{PART}"):
        scratch.unlink()
    there = {each.name for each in folder.iterdir()} - {LOCK}
    if PLAN in there:
        _refuse_other(folder, facts)
    elif there:
        raise GenomeError(
            f"{folder} holds no level database but other files, such as {min(there)}; give a "
            "new directory."
        )
    else:
        _write(folder / PLAN, _text(facts))


def finished(folder: Path, names: Mapping[str, object]) -> dict[str, str]:
    """sha256 by name, of the layers of `names` whose files are there and as they were written."""
    noted: dict[str, str] = {}
    if (folder / JOURNAL).is_file():
        for line in (folder / JOURNAL).read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
                noted[entry["name"]] = entry["sha256"]
            except (ValueError, KeyError, TypeError):
                continue  # half a line: killed while it was written
    done = {}
    for name in names:
        file = folder / file_of(name)
        if name in noted and file.is_file():
            with file.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() == noted[name]:
                    done[name] = noted[name]
    return done


def store(folder: Path, name: str, payload: bytes) -> str:
    """The sha256 of the file of layer `name`, now whole on the disk and in the journal."""
    sha256 = hashlib.sha256(payload).hexdigest()
    try:
        _write(folder / file_of(name), payload)
        with (folder / JOURNAL).open("ab") as journal:
            # Begins a line of its own: the last build may have been killed within one.
            journal.write(f"\n{json.dumps({'name': name, 'sha256': sha256})}\n".encode())
            journal.flush()
            os.fsync(journal.fileno())
    except OSError as error:
        raise GenomeError(
            f"{name} cannot be written to {folder} ({error.strerror}); make room, then run the "
            "same build again: it keeps what is done."
        ) from error
    return sha256


def seal(folder: Path, facts: Mapping[str, Any], done: Mapping[str, str]) -> None:
    """Write the manifest: the database is finished."""
    layers = {
        name: {"levels": levels, "sha256": done[name]} for name, levels in facts["layers"].items()
    }
    _write(folder / MANIFEST, _text({**facts, "layers": layers}))


def facts_of(
    model: str, settings: Mapping[str, Json], layers: Mapping[str, list[str]]
) -> dict[str, Json]:
    """What a build makes: the `model` by its digest, how, and the levels of each layer."""
    return {"format": FORMAT, "model": model, "settings": settings, "layers": layers}


def _refuse_other(folder: Path, facts: Mapping[str, Any]) -> None:
    try:
        begun = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GenomeError(
            f"{folder / PLAN} is damaged ({error}); build in a new directory."
        ) from error
    now = json.loads(_text(facts))
    for what in ("format", "model"):
        if begun.get(what) != now[what]:
            raise GenomeError(
                f"{folder} is a level database of another {what} ({str(begun.get(what))[:12]}, "
                f"not {str(now[what])[:12]}); build this one in a new directory."
            )
    then = begun.get("settings", {})
    other = [name for name, value in now["settings"].items() if then.get(name) != value]
    if other or begun.get("layers") != now["layers"]:
        what = other[0] if other else "layers"
        raise GenomeError(
            f"{folder} is a level database with other settings: {what} "
            f"{json.dumps(then.get(what))}, not {json.dumps(now['settings'].get(what))}; give the "
            "settings that it was begun with, or a new directory."
        )


def _text(facts: Mapping[str, Json]) -> bytes:
    return (json.dumps(facts, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _write(file: Path, content: bytes) -> None:
    scratch = file.with_name(f"{file.name}{PART}")
    with scratch.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    scratch.rename(file)
    handle = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
