"""Profiles through the model together, block by block, what they share computed once.

Profiles that agree on every block so far are one stem; at each block a stem branches by what
the profiles in it want there. Each stem's forward has the same shapes whoever is in it, so a
profile's bits do not depend on its companions. Knows no KL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from evolve.errors import EvolveError, GenomeError
from evolve.genomes.compression.anatomy import Linear, Part
from evolve.genomes.compression.database import Database
from evolve.genomes.compression.level import Bits, Zeros
from evolve.genomes.compression.packing import dense
from evolve.genomes.compression.profile import CompressionProfile
from fitness.divergence.body import Body, Entry

if TYPE_CHECKING:
    import torch

# A linear layer that is not dense: which, in which database, at which level.
Change: TypeAlias = tuple[Linear, Path, Bits | Zeros]


@dataclass(frozen=True)
class Wish:
    """What a profile wants of one block. Changes of removed parts are left out."""

    removed: tuple[Part, ...] = ()
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, eq=False)
class Stem:
    """Profiles, by index, that are one so far, and their hidden states, (s, t, d) a shard."""

    members: tuple[int, ...]
    states: tuple[torch.Tensor, ...]


def wishes(profile: CompressionProfile) -> tuple[Wish, ...]:
    """What `profile` wants, block by block."""
    space = profile.space
    changes: list[list[Change]] = [[] for _ in range(space.n_blocks)]
    for unit, level in zip(space.units, profile.levels.tolist()):
        if profile.keeps(unit.block, unit.part):
            for linear, at in zip(unit.linears, unit.levels[level]):
                if isinstance(at, (Bits, Zeros)):
                    assert space.database is not None, "levels need a database"
                    changes[unit.block].append((linear, space.database, at))
    return tuple(
        Wish(tuple(part for part in Part if not profile.keeps(b, part)), tuple(wanted))
        for b, wanted in enumerate(changes)
    )


def walk(
    body: Body, wanted: Sequence[tuple[Wish, ...]], entries: Sequence[Entry]
) -> tuple[list[Stem], dict[int, str]]:
    """The stems after the last block, and by index why a profile could not be run.

    Keeps the hidden states of every stem, and of one block the weights at every level that some
    profile wants there: each is read and dequantised once.
    """
    failures: dict[int, str] = {}
    stems = [Stem(tuple(range(len(wanted))), tuple(entry.hidden for entry in entries))]
    for b in range(len(body.blocks)):
        weights: dict[Change, torch.Tensor] = {}
        grown: list[Stem] = []
        while stems:
            stem = stems.pop()
            for wish, members in _branches(stem, [each[b] for each in wanted]).items():
                try:
                    named = _named(body, b, wish, weights)
                except EvolveError as error:
                    failures |= dict.fromkeys(members, str(error))
                    continue
                states = tuple(
                    body.step(b, hidden, entry.calls[b], named, wish.removed)
                    for hidden, entry in zip(stem.states, entries)
                )
                grown.append(Stem(members, states))
        stems = grown
    return stems, failures


def astray(body: Body, wanted: Sequence[Wish], entries: Sequence[Entry]) -> str:
    """Where a profile's hidden states are no numbers any more, and the levels there."""
    for entry in entries:
        hidden = entry.hidden
        for b, wish in enumerate(wanted):
            hidden = body.step(b, hidden, entry.calls[b], _named(body, b, wish, {}), wish.removed)
            if not hidden.isfinite().all():
                at = [f"{linear.name} at {level.name}" for linear, _, level in wish.changes]
                return f"not finite after {body.names[b]} ({', '.join(at) or 'dense'})"
    return "not finite in the head, after finite blocks"


def _branches(stem: Stem, here: Sequence[Wish]) -> dict[Wish, tuple[int, ...]]:
    """The stem's members by what they want at this block."""
    found: dict[Wish, tuple[int, ...]] = {}
    for i in stem.members:
        found[here[i]] = (*found.get(here[i], ()), i)
    return found


def _named(
    body: Body, b: int, wish: Wish, known: dict[Change, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The changed weights of block `b` by their names in it."""
    return {
        f"{change[0].name.removeprefix(f'{body.names[b]}.')}.weight": _weight(body, change, known)
        for change in wish.changes
    }


def _weight(body: Body, change: Change, known: dict[Change, torch.Tensor]) -> torch.Tensor:
    """The live module's weight, from `known` or put into it. Raises `GenomeError`."""
    import torch

    if change not in known:
        linear, place, level = change
        packed = Database.open(place).packed(linear.name, level)
        there = {part: tensor.to(body.device) for part, tensor in packed.items()}
        weight = dense(level, there, linear.columns)
        if not weight.sum(dtype=torch.float32).isfinite():  # a quarter of isfinite().all()
            raise GenomeError(
                f"{linear.name} at {level.name} has weights that are not finite; build that "
                "level anew, or leave it out of the grid."
            )
        known[change] = (weight.T if linear.transposed else weight).to(body.dtype).contiguous()
    return known[change]
