"""A level database built, or a build resumed: calibration here, layers solved in parallel.

One process walks through the model and is the only writer; layers are solved by others, or by
itself. The files' bytes depend on neither their number nor on any kill.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evolve.engine.cluster.mapping import spread
from evolve.errors import GenomeError
from evolve.genome import Json
from evolve.genomes.compression.anatomy import Anatomy, Linear
from evolve.genomes.compression.database import Database
from evolve.genomes.compression.level import Bits, Zeros
from evolve.genomes.compression.packing import packed_bytes
from evolve.genomes.compression.space import units_of, wanted
from evolve.levels import folder as on_disk
from evolve.levels.settings import Settings

if TYPE_CHECKING:
    from evolve.levels.layer import Task

SLACK = 1 << 20  # bytes of disk beside the tensors
HEADER = 160  # bytes a level in a file's header


@dataclass(frozen=True, eq=False)
class Plan:
    """What a build is to make; `tokens`: (n, length) int64. Raises `GenomeError` as the grid."""

    anatomy: Anatomy
    settings: Settings
    tokens: np.ndarray
    out: Path
    levels: Mapping[str, tuple[Bits | Zeros, ...]]

    @classmethod
    def of(cls, anatomy: Anatomy, settings: Settings, tokens: np.ndarray, out: Path) -> Plan:
        """The plan for all linear layers of the model. Costs nothing."""
        units = units_of(anatomy, settings.grid, settings.tied)
        levels = {
            name: tuple(each for each in every if isinstance(each, (Bits, Zeros)))
            for name, every in wanted(units).items()
        }
        return cls(anatomy, settings, tokens, out.expanduser().resolve(), levels)

    @property
    def n_levels(self) -> int:
        """Levels of all layers."""
        return sum(map(len, self.levels.values()))

    @property
    def facts(self) -> dict[str, Json]:
        """What names the database: nothing of the machine, so that equal builds are equal."""
        layers = {name: [each.name for each in levels] for name, levels in self.levels.items()}
        settings = self.settings.facts(self.tokens)
        return on_disk.facts_of(self.anatomy.source.digest, settings, layers)

    def bytes_of(self, names: Collection[str]) -> int:
        """Bytes of the files of the layers `names`."""
        itemsize, linears = self.anatomy.itemsize, self.anatomy.by_name
        return sum(
            packed_bytes(level, linears[name].rows, linears[name].columns, itemsize) + HEADER
            for name in names
            for level in self.levels[name]
        )

    @property
    def dense_bytes(self) -> int:
        """Bytes that a dense copy of every layer at every level would take."""
        linears = self.anatomy.by_name
        return self.anatomy.itemsize * sum(
            linears[name].size * len(levels) for name, levels in self.levels.items()
        )


def build(
    plan: Plan,
    *,
    workers: int = 0,
    address: str | None = None,
    progress: Callable[[str, int], None] = lambda name, n_done: None,
) -> Database:
    """The finished database of `plan`; what is done already is not repeated.

    `workers`, `address`: as in `spread`. `progress`: called with each layer's name, and how many
    are done. Raises `GenomeError`: NaN in a level, another database in that place, a full disk.
    """
    with on_disk.held(plan.out):
        on_disk.begin(plan.out, plan.facts)
        done = on_disk.finished(plan.out, plan.levels)
        left = [name for name in plan.levels if name not in done]
        check_room(plan, left)
        if left:
            _solve(plan, left, done, workers, address, progress)
        lacking = [name for name in plan.levels if name not in done]
        if lacking:
            raise GenomeError(
                f"{lacking[0]} is in the model but was fed nothing in its forward pass, so there "
                "is nothing to calibrate it with; name the blocks' parts that are in use."
            )
        on_disk.seal(plan.out, plan.facts, done)
    return Database.open(plan.out)


def check_room(plan: Plan, names: Collection[str]) -> None:
    """Raises `GenomeError` if the disk cannot take the files of the layers `names`."""
    place = next(each for each in (plan.out, *plan.out.parents) if each.exists())
    free, needed = shutil.disk_usage(place).free, plan.bytes_of(names) + SLACK
    if free < needed:
        raise GenomeError(
            f"The level database needs {needed:,} bytes, the disk of {place} has {free:,} free; "
            "make room, or give fewer levels."
        )


def _solve(
    plan: Plan,
    left: Collection[str],
    done: dict[str, str],
    workers: int,
    address: str | None,
    progress: Callable[[str, int], None],
) -> None:
    """Make the layers `left`; `done` grows."""
    from evolve.levels.layer import solved

    for _, (name, payload) in spread(
        solved, _tasks(plan, frozenset(left)), workers=workers, address=address
    ):
        done[name] = on_disk.store(plan.out, name, payload)
        progress(name, len(done))


def _tasks(plan: Plan, left: frozenset[str]) -> Iterator[Task]:
    from evolve.levels.calibration import second_moments
    from evolve.levels.layer import Task

    for inputs in second_moments(plan.anatomy, plan.tokens, left, plan.settings.threads):
        for name in inputs.names:
            if name in left:
                weight = _weight(plan.anatomy, plan.anatomy.by_name[name])
                yield Task(name, weight, inputs.hessian, plan.levels[name], plan.settings)


def _weight(anatomy: Anatomy, linear: Linear) -> Any:
    """(rows, columns) as stored, whichever way round that is."""
    stored = anatomy.stored(f"{linear.name}.weight")
    [(_, weight)] = anatomy.source.tensors([stored])
    return weight.T.contiguous() if linear.transposed else weight
