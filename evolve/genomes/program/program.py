"""A program: source files whose evolvable regions may change and whose rest may not.

Knows text and syntax; neither runs it nor knows what it is for. Its digest is that of its normal
form, so comments and formatting make no new individual.
"""

from __future__ import annotations

import hashlib
import io
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Self

import numpy as np

from evolve.errors import GenomeError
from evolve.genome import WRITTEN, Packed
from evolve.genomes.program.normal import normalised
from evolve.genomes.program.regions import Region, content, regions_of, replaced


@dataclass(frozen=True, eq=False)
class Program:
    """`files`: source text by relative path. `functions`: evolvable whole functions as
    `FILE:PATH`, beside the marked regions.

    `inherited`: tensors that a parent had trained, by name, and the `epochs` that went into them;
    none by default: a candidate then learns from scratch.
    Raises `GenomeError` for files that do not parse, have no region, or name one twice.
    """

    files: Mapping[str, str]
    functions: tuple[str, ...] = ()
    inherited: Mapping[str, np.ndarray] = field(default_factory=dict)
    epochs: int = 0

    def __post_init__(self) -> None:
        _ = self.normal  # every file parses
        for path, text in self.files.items():
            _check_file(path, text)
        names = [region.name for region in self._places]
        if not names:
            raise GenomeError(
                f"The program {', '.join(self.files)} has no evolvable region; mark one with "
                "`# EVOLVE-BLOCK-START NAME` and `# EVOLVE-BLOCK-END`, or name a function."
            )
        if twice := [name for name in names if names.count(name) > 1]:
            raise GenomeError(f"The program has two regions {twice[0]!r}; name each once.")

    @classmethod
    def read(cls, *files: Path, functions: Sequence[str] = ()) -> Self:
        """The program in `files`, known by their names. Raises `GenomeError`."""
        texts: dict[str, str] = {}
        for file in files:
            if file.name in texts:
                raise GenomeError(
                    f"Two files are called {file.name}; read them yourself, and give Program "
                    "their texts by relative path."
                )
            try:
                texts[file.name] = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise GenomeError(f"Cannot read the program's file {file}: {error}.") from error
        return cls(texts, tuple(functions))

    @cached_property
    def normal(self) -> Mapping[str, str]:
        """The files in normal form: what a sandbox runs, and what makes the digest."""
        return {path: normalised(text, path) for path, text in sorted(self.files.items())}

    @cached_property
    def regions(self) -> Mapping[str, str]:
        """The text of each evolvable region by name, at the left margin, in order of the files."""
        return {place.name: content(self.files[place.file], place) for place in self._places}

    @cached_property
    def protected(self) -> str:
        """The sha256 (hex) of everything outside the regions."""
        rest = hashlib.sha256()
        for path, text in sorted(self.files.items()):
            lines = text.split("\n")
            for place in reversed([each for each in self._places if each.file == path]):
                lines[place.first : place.last] = [f"<{place.name}>"]
            rest.update("\n".join([path, *lines, ""]).encode())
        return rest.hexdigest()

    def swapped(self, new: Mapping[str, str]) -> Self:
        """This program with `new` texts of regions, from scratch. Raises `GenomeError`."""
        if unknown := [name for name in new if name not in self.regions]:
            raise GenomeError(
                f"The program has no region {unknown[0]!r}; it has {', '.join(self.regions)}."
            )
        files = dict(self.files)
        for place in reversed(self._places):  # from the end, so that line numbers stay true
            if place.name in new:
                files[place.file] = replaced(files[place.file], place, new[place.name])
        child = replace(self, files=files, inherited={}, epochs=0)
        if child.protected != self.protected:
            raise GenomeError(
                f"The new text of {', '.join(new)} changes what lies outside of it; change the "
                "regions only."
            )
        return child

    def pack(self) -> Packed:
        facts: dict[str, Any] = {
            "normal": dict(self.normal),
            "protected": self.protected,
            "functions": list(self.functions),
            "epochs": self.epochs,
            WRITTEN: dict(self.files),
        }
        return Packed(facts, dict(sorted(self.inherited.items())))

    @classmethod
    def unpack(cls, packed: Packed) -> Self:
        facts: Mapping[str, Any] = packed.facts
        functions, epochs = tuple(facts["functions"]), int(facts["epochs"])
        return cls(dict(facts[WRITTEN]), functions, dict(packed.arrays), epochs)

    def express(self) -> Mapping[str, str]:
        """The source text by path, as it is written."""
        return dict(self.files)

    @cached_property
    def _places(self) -> list[Region]:
        wanted: dict[str, list[str]] = {path: [] for path in self.files}
        for name in self.functions:
            path, _, function = name.partition(":")
            if path not in wanted or not function:
                raise GenomeError(
                    f"The evolvable function {name!r} must be FILE:PATH with one of the files "
                    f"{', '.join(self.files)}."
                )
            wanted[path].append(function)
        return [
            place
            for path, text in sorted(self.files.items())
            for place in regions_of(text, path, wanted[path])
        ]


def _check_file(path: str, text: str) -> None:
    """Raise `GenomeError` for a path that leads elsewhere, and a text to be read as another."""
    parts = PurePosixPath(path).parts
    if not path.isprintable() or path != "/".join(parts) or not parts or ".." in parts:
        raise GenomeError(
            f"The program's file {path!r} must be a plain relative path, as parts/net.py."
        )
    try:  # what a comment in its first two lines may say, and the interpreter then obeys
        encoding, _ = tokenize.detect_encoding(io.BytesIO(text.encode()).readline)
    except SyntaxError as error:
        raise GenomeError(f"{path} names an encoding that is not utf-8: {error}.") from error
    if encoding != "utf-8":
        raise GenomeError(
            f"{path} names the encoding {encoding} in a comment of its first lines, which would "
            "make it another program; leave that out."
        )
