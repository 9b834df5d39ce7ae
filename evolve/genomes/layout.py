"""How a model's tensors share merge parameters: layer groups and tensor kinds. Knows only names.

Embeddings belong to the first group, the final norm and the head to the last, as in mergekit's
slices. Among kinds, whatever is neither attention nor norm (embeddings and head too) is `mlp`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from evolve.errors import CheckpointError

_LAYER = re.compile(r"^(.*?)\.?(?:^|\.)(\d+)\.")
_EMBEDDING = re.compile(r"embed(?!_out)|(^|\.)(wte|wpe)\.")
_NORM = re.compile(r"norm|(^|\.)ln_")
_ATTENTION = re.compile(r"attn|attention")


class Kind(StrEnum):
    """What a tensor does in its block; `ALL` where kinds share their parameters."""

    ATTENTION = "attention"
    MLP = "mlp"
    NORM = "norm"
    ALL = "all"


def kind_of_tensor(name: str) -> Kind:
    """The kind that the tensor called `name` belongs to; a norm inside attention is a norm."""
    lowered = name.lower()
    if _NORM.search(lowered):
        return Kind.NORM
    return Kind.ATTENTION if _ATTENTION.search(lowered) else Kind.MLP


def layer_of_tensor(name: str) -> int | None:
    """The block number in `name` (its first integer part); None outside the blocks."""
    found = _LAYER.match(name)
    return int(found[2]) if found else None


@dataclass(frozen=True)
class Cell:
    """The tensors that share one setting of every merge parameter."""

    group: int  # of layers, 0 nearest the input
    kind: Kind
    tensors: tuple[str, ...]  # in model order


@dataclass(frozen=True)
class Layout:
    """All cells of a model, input to output; within a group attention, MLP, norm."""

    cells: tuple[Cell, ...]
    n_layers: int

    @property
    def tensors(self) -> tuple[str, ...]:
        """Every tensor name, cell by cell."""
        return tuple(name for cell in self.cells for name in cell.tensors)

    @classmethod
    def of(cls, names: Iterable[str], layers_per_group: int, per_kind: bool) -> Layout:
        """The cells of the tensors `names`; groups are `layers_per_group` blocks, the last fewer.

        Raises `CheckpointError` for models with several stacks of blocks.
        """
        ordered = sorted(names, key=_natural)
        stacks = {found[1] for name in ordered if (found := _LAYER.match(name))}
        if len(stacks) > 1:
            raise CheckpointError(
                f"The model has {len(stacks)} stacks of layers ({', '.join(sorted(stacks))}); "
                "merging by layer group needs a model with one, such as a decoder."
            )
        n_layers = 1 + max((layer_of_tensor(name) or 0 for name in ordered), default=0)
        n_groups = -(-n_layers // layers_per_group)
        cells: dict[tuple[int, Kind], list[str]] = {}
        for name in ordered:
            kind = kind_of_tensor(name) if per_kind else Kind.ALL
            cells.setdefault((_group(name, layers_per_group, n_groups), kind), []).append(name)
        order = {kind: i for i, kind in enumerate(Kind)}
        keys = sorted(cells, key=lambda key: (key[0], order[key[1]]))
        return cls(tuple(Cell(*key, tuple(cells[key])) for key in keys), n_layers)


def by_tensor(cells: Iterable[Cell]) -> dict[str, Cell]:
    """The cell of every tensor."""
    return {name: cell for cell in cells for name in cell.tensors}


def _group(name: str, layers_per_group: int, n_groups: int) -> int:
    layer = layer_of_tensor(name)
    if layer is not None:
        return layer // layers_per_group
    return 0 if _EMBEDDING.search(name) else n_groups - 1


def _natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Sorts `layers.10` behind `layers.9`."""
    parts = name.split(".")
    return tuple((not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts)
