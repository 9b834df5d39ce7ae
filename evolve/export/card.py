"""The model card of an exported winner, as Hugging Face's README.md.

Knows parents, tables and sections of text; not recipes, scores or ledgers. The metadata block:
https://huggingface.co/docs/hub/model-cards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

NOT_STATED = "not stated"
NOTES = "Notes"  # the section whose points the command line repeats
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*(\n|\Z)", re.DOTALL)
_LICENCE = re.compile(r"^license:[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_LICENCE_NAME = re.compile(r"^license_name:[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_HUB = re.compile(r"models--(?P<owner>[^/]+?)--(?P<name>[^/]+)/snapshots/(?P<revision>[^/]+)$")


class Parent(NamedTuple):
    """A model that went into the winner."""

    name: str
    role: str  # base, expert
    licence: str  # as its own card states it, or `NOT_STATED`
    digest: str  # sha256 (hex) of its config and weights


def known_as(folder: Path) -> str:
    """`owner/name` for a snapshot in the hub's cache, else the folder's own name."""
    found = _HUB.search(folder.as_posix())
    return f"{found['owner']}/{found['name']}" if found else folder.name


def licence_of(folder: Path) -> str:
    """The licence a model's folder states: in its README's metadata, else its LICENSE file."""
    readme = folder / "README.md"
    if readme.is_file():
        found = _FRONT_MATTER.match(readme.read_text(encoding="utf-8", errors="replace"))
        named = found and (_stated(_LICENCE, found[1]), _stated(_LICENCE_NAME, found[1]))
        if named and named[0]:
            return named[1] if named[0] == "other" and named[1] else named[0]
    for file in sorted(folder.glob("LICEN[SC]E*")):
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
        title = next((line.strip() for line in lines if line.strip()), "")
        if title:
            return f"{title} ({file.name})"
    return NOT_STATED


def _stated(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1].strip("\"'") if found else ""


def metadata(parents: Sequence[Parent], tags: Sequence[str], relation: str = "merge") -> str:
    """The YAML block of the card; `license` only where all parents state the same one.

    `relation`: to the parents, in the hub's words.
    """
    licences = {parent.licence for parent in parents}
    lines = ["---", "library_name: transformers", "pipeline_tag: text-generation", "tags:"]
    lines += [f"- {tag}" for tag in tags]
    lines += ["base_model:", *(f"- {json.dumps(parent.name)}" for parent in parents)]
    lines += [f"base_model_relation: {relation}"]
    if len(licences) == 1 and re.fullmatch(r"[a-z0-9.-]+", licence := licences.pop()):
        lines.append(f"license: {licence}")
    return "\n".join([*lines, "---"])


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def licences(parents: Sequence[Parent]) -> str:
    """The table of the parents with their licences, and what follows for the merge."""
    stated = {parent.licence for parent in parents}
    note = "Every parent's licence binds this merge."
    if NOT_STATED in stated:
        note += " Where none is stated, ask the model's owner before passing the merge on."
    rows = [(p.name, p.role, p.licence, f"`{p.digest[:16]}`") for p in parents]
    return table(("parent", "role", "licence", "sha256 (first 16)"), rows) + "\n\n" + note


def card(
    title: str,
    summary: str,
    parents: Sequence[Parent],
    tags: Sequence[str],
    sections: Mapping[str, str],
    relation: str = "merge",
) -> str:
    """The whole README: metadata, title, summary, then `sections` (markdown) by title."""
    parts = [metadata(parents, tags, relation), f"# {title}", summary]
    for heading, body in sections.items():
        parts += [f"## {heading}", body.strip()]
    return "\n\n".join(parts) + "\n"


def usage(title: str) -> str:
    """How to load the model in the directory called `title`."""
    return f"""```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{title}")
tokenizer = AutoTokenizer.from_pretrained("{title}")
```

`"{title}"` is this directory's path, or the name under which it was uploaded."""


def points(words: Sequence[str]) -> str:
    """A markdown list, a point a line."""
    return "\n".join(f"- {each}" for each in words)


def notes(folder: Path) -> list[str]:
    """The points of the section `NOTES` in the README of an export: what people must know."""
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    _, _, after = text.partition(f"\n## {NOTES}\n")
    section = after.partition("\n## ")[0]
    return [line.removeprefix("- ") for line in section.splitlines() if line.startswith("- ")]
