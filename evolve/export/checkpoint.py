"""A merge written as a Hugging Face directory, with its card and its mergekit configuration.

Knows merge recipes. What goes into the weights is `express()`, nothing else, so what was scored
is what is shipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evolve.errors import ExportError
from evolve.export import card
from evolve.export.companions import copy_companions, write_json
from evolve.export.directory import appearing, refuse_existing
from evolve.export.mergekit_yaml import RANDOM, command, mergekit_yaml
from evolve.export.shards import write_tensors
from evolve.genome import Genome
from evolve.genomes.checkpoint import Source, read_config
from evolve.genomes.merge import MergeRecipe
from evolve.score import Record


@dataclass(frozen=True)
class CheckpointExporter:
    """Writes a merge recipe as a model that `from_pretrained` loads. An `Exporter`.

    `max_shard_bytes`: most bytes of a safetensors file, as far as single tensors allow.
    """

    max_shard_bytes: int = 5_000_000_000

    def __post_init__(self) -> None:
        if self.max_shard_bytes < 1:
            raise ExportError(f"max_shard_bytes is {self.max_shard_bytes}; give 1 or more.")

    def export(self, record: Record[MergeRecipe], to: Path, story: Mapping[str, str]) -> None:
        """Write `record`'s merge to the new directory `to`: whole, or not at all.

        safetensors, config.json, generation config, tokenizer, mergekit_config.yml and
        README.md, whose sections are `story` (markdown by title), then recipe, parents, usage.
        Raises `ExportError`, and `CheckpointError` if a parent changed or is gone.
        """
        _refuse_others(record.birth, record.genome)
        refuse_existing(to)
        recipe = record.genome
        tensors = recipe.express()
        with appearing(to) as folder:
            write_tensors(folder, tensors, self.max_shard_bytes)
            write_json(folder / "config.json", _config(recipe))
            copy_companions(recipe.space.base.path, folder)
            (folder / "mergekit_config.yml").write_text(mergekit_yaml(recipe), encoding="utf-8")
            text = _readme(to.name, record, story)
            (folder / "README.md").write_text(text, encoding="utf-8")


def _refuse_others(birth: int, genome: Genome) -> None:
    """A run loaded from its ledger has genomes of any kind, whatever the annotation says."""
    if not isinstance(genome, MergeRecipe):
        raise ExportError(
            f"Birth {birth} is a {type(genome).__name__}, CheckpointExporter writes "
            "MergeRecipe; use the exporter of that genome."
        )


def _config(recipe: MergeRecipe) -> dict[str, object]:
    """The base's config with the merge's dtype, under its new name and its old one."""
    config: dict[str, object] = dict(read_config(recipe.space.base.path))
    config.pop("_name_or_path", None)
    config["dtype"] = recipe.space.dtype
    if "torch_dtype" in config:
        config["torch_dtype"] = recipe.space.dtype
    return config


def _readme(title: str, record: Record[MergeRecipe], story: Mapping[str, str]) -> str:
    recipe, space = record.genome, record.genome.space
    parents = [_parent(space.base, "base"), *(_parent(e, "expert") for e in space.experts)]
    summary = (
        f"A `{space.method.value}` merge of {len(space.experts)} experts on one base, found by "
        f"evolutionary search (evolve): birth {record.birth}, genome `{record.digest[:16]}`."
    )
    return card.card(
        title,
        summary,
        parents,
        ("merge", "mergekit", "evolve"),
        {
            **story,
            "Recipe": _recipe_table(recipe),
            "Parents and licences": card.licences(parents),
            "Use": card.usage(title),
            "Rebuild with mergekit": _rebuilding(recipe),
        },
    )


def _parent(source: Source, role: str) -> card.Parent:
    role = f"{role}, LoRA" if source.adapter else role
    return card.Parent(
        card.known_as(source.path), role, card.licence_of(source.path), source.digest
    )


def _recipe_table(recipe: MergeRecipe) -> str:
    space = recipe.space
    cells = recipe.cells()
    names = list(dict.fromkeys(name for settings in cells.values() for name in settings))
    rows = [
        (str(cell.group), cell.kind.value, *(_shown(settings[name]) for name in names))
        for cell, settings in cells.items()
    ]
    order = "base, then the experts" if space.method.value == "linear" else "the experts"
    intro = (
        f"Method `{space.method.value}` in float32, written as {space.dtype}; groups of "
        f"{space.layers_per_group} layer(s), embeddings in the first, final norm and head in the "
        f"last. Several values are for {order}, in the order of the table of parents."
    )
    if not names:
        return f"Method `{space.method.value}`, without parameters; float32, as {space.dtype}."
    return intro + "\n\n" + card.table(("group", "tensors", *names), rows)


def _shown(value: float | tuple[float, ...]) -> str:
    return ", ".join(f"{v:.4g}" for v in (value if isinstance(value, tuple) else (value,)))


def _rebuilding(recipe: MergeRecipe) -> str:
    text = f"```\n{command(recipe.space)}\n```\n\n"
    if recipe.space.method in RANDOM:
        return text + (
            f"`{recipe.space.method.value}` drops elements at random, and mergekit draws from its "
            "own generator: the result is another sample of this recipe. These weights are only "
            "in this directory."
        )
    return text + (
        "The paths in the file are those of the machine that exported it. The result agrees with "
        "these weights to 1e-6 of a tensor's largest one, before rounding to "
        f"{recipe.space.dtype}."
    )
