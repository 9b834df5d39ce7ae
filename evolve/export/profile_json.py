"""A compression profile as one JSON file, for people and for other tools; written and read.

Levels stand by module, under the live model's names and before any block was deleted. What a
profile *is* (its digest) is in the genome; this is told from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evolve.errors import ExportError
from evolve.genomes.compression.anatomy import Part
from evolve.genomes.compression.budget import (
    Cost,
    file_bytes,
    kept_weights,
    n_weights,
    weight_bits,
)
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import ProfileSpace, Unit

FORMAT = 1
FILE = "profile.json"


def profile_json(profile: CompressionProfile, costs: Sequence[Cost] = ()) -> dict[str, Any]:
    """The content of `profile.json`; `costs` beside bytes, weight bits and kept weights."""
    space = profile.space
    bits = weight_bits(space)
    every = (file_bytes(space), bits, kept_weights(space), *costs)
    told = {cost.name: {"value": cost.of(profile), "unit": cost.unit} for cost in every}
    average = bits.of(profile) / n_weights(space)
    return {
        "format": FORMAT,
        "model": {
            "name": space.anatomy.source.name,
            "sha256": space.anatomy.source.digest,
        },
        "database": space.facts["database"],
        "levels": {linear.name: level.name for linear, level in profile.layers()},
        "removed": {
            part.value: [i for i in range(space.n_blocks) if not profile.keeps(i, part)]
            for part in Part
        },
        "costs": {**told, "average bits": {"value": average, "unit": "bit"}},
    }


def read_profile(path: str | Path, space: ProfileSpace) -> CompressionProfile:
    """The profile in the file `path`, over `space`: the genome that was written.

    Raises `ExportError` for a file that is none, another model or database, and levels that the
    space has not.
    """
    file = Path(path)
    found = _content(file)
    for what, here in (
        ("model", space.anatomy.source.digest),
        ("database", space.facts["database"]),
    ):
        there = found["model"]["sha256"] if what == "model" else found["database"]
        if there != here:
            raise ExportError(
                f"{file} was written for a {what} with sha256 {there}, this space has {here}; "
                "build the space from that one."
            )
    removed = found["removed"]
    masks = [_mask(file, removed[part.value], space.n_blocks) for part in Part]
    levels = np.array([_level(file, unit, found["levels"]) for unit in space.units])
    return CompressionProfile.at(space, levels, *masks)


def _content(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        written, _, _ = found["format"], found["model"]["sha256"], found["database"]
        levels, removed = found["levels"], [found["removed"][part.value] for part in Part]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"{file} is no profile ({type(error).__name__}: {error}); give a {FILE} that an "
            "export wrote."
        ) from error
    if written != FORMAT:
        raise ExportError(
            f"{file} has format {written!r}, this version reads {FORMAT}; export anew."
        )
    if not isinstance(levels, dict):
        raise ExportError(
            f"{file} has {levels!r:.40} as levels, not an object of level names by module; "
            f"give a {FILE} that an export wrote."
        )
    if not all(isinstance(each, list) for each in removed):
        raise ExportError(
            f"{file} has {removed!r:.40} as removed parts, not lists of blocks; give a {FILE} "
            "that an export wrote."
        )
    return found


def _mask(file: Path, removed: Sequence[object], n_blocks: int) -> np.ndarray:
    mask = np.ones(n_blocks, bool)
    for block in removed:
        if not isinstance(block, int) or not 0 <= block < n_blocks:
            raise ExportError(
                f"{file} removes block {block!r}; the model has 0 to {n_blocks - 1}."
            )
        mask[block] = False
    return mask


def _level(file: Path, unit: Unit, named: Mapping[str, str]) -> int:
    """The unit's level at which its layers are at what `named` says."""
    wanted = [named.get(linear.name) for linear in unit.linears]
    for i, levels in enumerate(unit.levels):
        if [level.name for level in levels] == wanted:
            return i
    names = ", ".join(f"{each.name} at {level}" for each, level in zip(unit.linears, wanted))
    raise ExportError(
        f"{file} has {names}, which is no level of {unit.name} in this space; build the space "
        "with the grid and the ties that the profile was made with."
    )
