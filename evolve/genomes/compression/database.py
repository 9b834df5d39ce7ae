"""A level database read: one model's linear layers at every level, packed, by content.

One folder: `manifest.json`, and for each linear layer one safetensors file with all its levels,
memory-mapped. The manifest is written last, so a folder without one is no finished database.
Knows how to read, not how levels are made (`evolve.levels`).
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from evolve.errors import CheckpointError, GenomeError
from evolve.genomes.checkpoint import file_sha256
from evolve.genomes.compression.anatomy import Linear
from evolve.genomes.compression.level import Bits, Level, Zeros, level_of
from evolve.genomes.compression.packing import dense, parts
from evolve.genomes.compression.space import BitGrid, ProfileSpace, ZeroGrid, wanted

if TYPE_CHECKING:
    import torch

FORMAT = 1
MANIFEST = "manifest.json"
PLAN = "building.json"  # what a build is to make, while it is under way
ERRORS = "errors"  # of a file's header: {level: output error} as JSON


def file_of(name: str) -> str:
    """The file's name that holds the levels of the linear layer `name`."""
    return f"{name}.safetensors"


@dataclass(frozen=True)
class Database:
    """The levels of one model's linear layers. Open it with `Database.open`.

    `digest`: sha256 (hex) of the manifest, which names every file's sha256; `model`: the digest
    of the `Source` it was made from; `settings`: how (method, grid, calibration, damping).
    """

    path: Path
    digest: str
    model: str
    settings: Mapping[str, Any]
    layers: Mapping[str, Mapping[str, Any]]

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The database in the folder `path`, opened once a process.

        Raises `GenomeError` for a folder that is none, an unfinished build, and files that are
        not what the manifest says: each is hashed once per (path, size, modification time).
        """
        folder = Path(path).expanduser().resolve()
        try:
            stat = (folder / MANIFEST).stat()
        except OSError:
            raise GenomeError(_absent(folder)) from None
        return cls(*_read(folder, stat.st_size, stat.st_mtime_ns))

    def check(self, space: ProfileSpace) -> None:
        """Raises `GenomeError` if this is of another model than `space`, or lacks its levels."""
        source, needed = space.anatomy.source, wanted(space.units)
        if self.model != source.digest:
            raise GenomeError(
                f"The level database {self.path} was made from a model with digest "
                f"{self.model[:12]}, {source.path} has {source.digest[:12]}; make one for it: "
                f"`{_build(space)}`."
            )
        missing = [
            f"{name} at {level.name}"
            for name, levels in needed.items()
            for level in levels
            if level.name not in self.layers.get(name, {"levels": ()})["levels"]
        ]
        if missing:
            shown = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
            made = {name: self.settings.get(name) for name in ("grid", "tied")}
            raise GenomeError(
                f"The level database {self.path} lacks {len(missing)} of "
                f"{sum(map(len, needed.values()))} levels: {shown}. It was made with "
                f"{json.dumps(made)}; make another: `{_build(space)}`."
            )

    def levels(self, name: str) -> tuple[Level, ...]:
        """The levels of the linear layer `name`; none if it has none."""
        return tuple(level_of(each) for each in self.layers.get(name, {"levels": ()})["levels"])

    def error(self, name: str, level: Level) -> float:
        """tr(D H D^T) / tokens: what `level` adds to the squared error of the layer's output.

        D is the change of its weights, H the sum of x x^T over the calibration tokens.
        """
        self._known(name, level)
        metadata = _opened(self.path / file_of(name), self.digest).metadata()
        return float(json.loads(metadata[ERRORS])[level.name])

    def packed(self, name: str, level: Level) -> dict[str, torch.Tensor]:
        """The tensors of `level` as stored, memory-mapped: codes, scales, or mask, kept."""
        known = self._known(name, level)
        handle = _opened(self.path / file_of(name), self.digest)
        return {part: handle.get_tensor(f"{level.name}.{part}") for part in parts(known)}

    def weight(self, linear: Linear, level: Level) -> torch.Tensor:
        """(rows, columns) dense in the model's dtype: the bits that a reloaded export has."""
        known = self._known(linear.name, level)
        return dense(known, self.packed(linear.name, level), linear.columns)

    def _known(self, name: str, level: Level) -> Bits | Zeros:
        if isinstance(level, (Bits, Zeros)) and level in self.levels(name):
            return level
        have = ", ".join(each.name for each in self.levels(name)) or "none"
        raise GenomeError(
            f"The level database {self.path} has {name} at {have}, not at {level.name}; build "
            "one that has it: `evolve levels build`."
        )


@lru_cache(maxsize=16)
def _read(
    folder: Path, size: int, changed: int
) -> tuple[Path, str, str, Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
    content = (folder / MANIFEST).read_bytes()
    try:
        manifest = json.loads(content)
        version, model = manifest["format"], str(manifest["model"])
        settings, layers = dict(manifest["settings"]), dict(manifest["layers"])
    except (ValueError, KeyError, TypeError) as error:
        raise GenomeError(
            f"{folder / MANIFEST} is damaged ({error!r}); run the same `evolve levels build` "
            "again: it keeps the layers that are whole."
        ) from error
    if version != FORMAT:
        raise GenomeError(
            f"The level database {folder} has format {version}, this version reads {FORMAT}; "
            "build it anew."
        )
    for name, layer in layers.items():
        _same(folder / file_of(name), str(layer["sha256"]))
    return folder, hashlib.sha256(content).hexdigest(), model, settings, layers


def _same(file: Path, sha256: str) -> None:
    """Raises `GenomeError` if `file` is gone or not what was built."""
    try:
        found = file_sha256(file)
    except CheckpointError:
        found = "none"
    if found != sha256:
        raise GenomeError(
            f"{file} {'is gone' if found == 'none' else 'was changed or damaged'} since it was "
            f"built (sha256 {sha256[:12]}, found {found[:12]}); run the same `evolve levels "
            "build` again: it makes that file anew and keeps the others."
        )


@lru_cache(maxsize=256)
def _opened(file: Path, digest: str) -> Any:
    """The open file: its pages are shared by all processes. `digest`: of which build."""
    from safetensors import safe_open

    return safe_open(file, framework="pt")


def _absent(folder: Path) -> str:
    if (folder / PLAN).is_file():
        return (
            f"The level database {folder} is unfinished; run the same `evolve levels build` "
            "again: it goes on where it stopped."
        )
    return (
        f"{folder} is no level database (it has no {MANIFEST}); make one: "
        "`evolve levels build MODEL --out DIR`."
    )


def _build(space: ProfileSpace) -> str:
    """The command that builds what `space` needs; DIR and FILE are for the user to fill in."""
    words = ["evolve", "levels", "build", str(space.anatomy.source.path), "--out", "DIR"]
    words += ["--text", "FILE"]
    if isinstance(space.grid, BitGrid):
        words += ["--bits", ",".join(map(str, space.grid.bits)), "--group", str(space.grid.group)]
    elif isinstance(space.grid, ZeroGrid):
        words += ["--sparsity", str(space.grid.sparsity), "--reach", str(space.grid.reach)]
        words += ["--divisor", str(space.grid.divisor)]
    if not space.tied:
        words.append("--no-ties")
    if space.names is not None:
        words += ["--names", ",".join(astuple(space.names))]
    return shlex.join(words)
