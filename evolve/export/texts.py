"""Texts about a compression profile in a directory, for other tools, and profile.json beside them.

Knows profiles and words, no tensors; what a text says is its own module's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from evolve.export import card
from evolve.export.companions import write_json
from evolve.export.compressed import refuse_others
from evolve.export.directory import appearing, refuse_existing
from evolve.export.profile_json import FILE, profile_json
from evolve.genomes.compression.profile import CompressionProfile
from evolve.score import Record


def write_texts(
    to: Path,
    title: str,
    files: Mapping[str, str],
    profile: CompressionProfile,
    sections: Mapping[str, str],
) -> None:
    """Write `files` (text by name), profile.json and README.md to the new directory `to`.

    `sections`: the README's markdown by title. Whole, or not at all: raises `ExportError`.
    """
    body = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections.items())
    with appearing(to) as folder:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        write_json(folder / FILE, profile_json(profile))
        (folder / "README.md").write_text(f"# {title}\n\n{body}\n", encoding="utf-8")


@dataclass(frozen=True)
class TextExporter:
    """Writes what `tell` makes of a profile (text by file name) under `title`. An `Exporter`.

    `note`: what people must know of these texts. What `tell` raises leaves nothing behind.
    """

    title: str
    tell: Callable[[CompressionProfile], Mapping[str, str]]
    note: str = ""

    def export(
        self, record: Record[CompressionProfile], to: Path, story: Mapping[str, str]
    ) -> None:
        """Write the texts, profile.json and README.md to the new directory `to`, or nothing."""
        refuse_others(record.birth, record.genome, "TextExporter")
        refuse_existing(to)
        files = self.tell(record.genome)
        sections = {card.NOTES: card.points([self.note])} if self.note else {}
        write_texts(to, self.title, files, record.genome, {**sections, **story})
