"""EvoPress's three text forms, written and read (github.com/IST-DASLab/EvoPress at 50888a0).

Depth: one word a block. Sparsity: `module.path: level`, steps away from the uniform sparsity, up
for more zeros. Quantization: `module.path: bits`. Modules under the live model's names. The texts
say neither model nor grid: a number means what the space's grid makes of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evolve.errors import ExportError
from evolve.genomes.compression.level import Bits
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ProfileSpace, Unit, ZeroGrid, middle

DEPTH, BITS, SPARSITY = "layer_drop_config.txt", "quantization.txt", "sparsity.txt"
NOTE = (
    "The texts say neither model nor grid: what a number means is up to the tool's own database "
    "of levels. Measure the result before you use it."
)

# What is removed of a block: (attention kept, MLP kept) -> EvoPress's word.
_WORDS = {
    (True, True): "none",
    (False, True): "attn",
    (True, False): "mlp",
    (False, False): "attn+mlp",
}


def evopress_texts(profile: CompressionProfile) -> dict[str, str]:
    """The texts that together hold `profile`, by file name.

    `BITS` or `SPARSITY` where the space has levels, `DEPTH` where it removes parts. Raises
    `ExportError` as `bits_text` and `sparsity_text` do.
    """
    texts = {}
    if isinstance(profile.space.grid, BitGrid):
        texts[BITS] = bits_text(profile)
    if isinstance(profile.space.grid, ZeroGrid):
        texts[SPARSITY] = sparsity_text(profile)
    if profile.space.depth:
        texts[DEPTH] = depth_text(profile)
    return texts


def depth_text(profile: CompressionProfile) -> str:
    """`layer_drop_config.txt`: what is removed of each block."""
    masks = zip(profile.attention.tolist(), profile.mlp.tolist())
    return "".join(f"{_WORDS[mask]}\n" for mask in masks)


def read_depth(text: str, n_blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """(n_blocks,) bool, twice: which attentions and which MLPs are kept.

    Raises `ExportError` that names the line.
    """
    kept = {word: mask for mask, word in _WORDS.items()}
    masks = []
    for number, line in _lines(text):
        if line not in kept:
            raise ExportError(
                f"Line {number} is {line!r}; give one of {', '.join(kept)} a line, one line a "
                "block."
            )
        masks.append(kept[line])
        if len(masks) > n_blocks:
            raise ExportError(f"Line {number} is of block {n_blocks}; the model has {n_blocks}.")
    if len(masks) < n_blocks:
        raise ExportError(
            f"The text ends after {len(masks)} blocks, the model has {n_blocks}; give a line each."
        )
    attention, mlp = zip(*masks)
    return np.array(attention, bool), np.array(mlp, bool)


def bits_text(profile: CompressionProfile) -> str:
    """`module.path: bits` for every linear layer. Raises `ExportError` for other levels."""
    lines = []
    for linear, level in profile.layers():
        if not isinstance(level, Bits):
            raise ExportError(
                f"{linear.name} is at {level.name}; EvoPress's quantization file holds bits only. "
                "Search with BitGrid(dense=False), or write profile.json."
            )
        lines.append(f"{linear.name}: {level.bits}\n")
    return "".join(lines)


def read_bits(text: str, space: ProfileSpace) -> np.ndarray:
    """(n_units,) int8 levels for `CompressionProfile.at`. Raises `ExportError` with the line."""

    def bits(unit: Unit) -> list[int | None]:
        firsts = [levels[0] for levels in unit.levels]
        return [level.bits if isinstance(level, Bits) else None for level in firsts]

    return np.array([_choice(unit, bits(unit), found) for unit, found in _found(text, space)])


def sparsity_text(profile: CompressionProfile) -> str:
    """`module.path: level` for every linear layer, 0 the uniform sparsity.

    Raises `ExportError` for a space without a `ZeroGrid`, and for layers that share a level:
    EvoPress's step is a number of weights a layer, ours then one of them all.
    """
    signed = [_signed(unit, profile.space) for unit in profile.space.units]
    return "".join(
        f"{unit.linears[0].name}: {steps[level]}\n"
        for unit, steps, level in zip(profile.space.units, signed, profile.levels.tolist())
    )


def read_sparsity(text: str, space: ProfileSpace) -> np.ndarray:
    """(n_units,) int8 levels for `CompressionProfile.at`. Raises `ExportError` with the line."""
    return np.array(
        [_choice(unit, _signed(unit, space), found) for unit, found in _found(text, space)]
    )


def _signed(unit: Unit, space: ProfileSpace) -> list[int | None]:
    """EvoPress's number for each level of `unit`."""
    if not isinstance(space.grid, ZeroGrid):
        raise ExportError("EvoPress's sparsity file needs a space whose grid is a ZeroGrid.")
    if len(unit.linears) > 1:
        raise ExportError(
            f"{unit.name} shares a level, EvoPress has one a layer; build the space with "
            "tied=False."
        )
    uniform = middle(unit, space.grid.sparsity)
    return [uniform - level for level in range(len(unit.levels))]


def _choice(unit: Unit, numbers: list[int | None], found: list[tuple[int, int]]) -> int:
    """The level of `unit` that is called what `found` (line, number) says, one a layer."""
    for line, number in found:
        if number not in numbers:
            have = ", ".join(str(each) for each in numbers if each is not None)
            raise ExportError(f"Line {line}: {unit.name} has no level {number}; it has {have}.")
        if number != found[0][1]:
            raise ExportError(
                f"Line {line}: {unit.name} shares a level and was at {found[0][1]}, not "
                f"{number}; build the space with tied=False to hold both."
            )
    return numbers.index(found[0][1])


def _found(text: str, space: ProfileSpace) -> Iterator[tuple[Unit, list[tuple[int, int]]]]:
    """Each unit with (line, number) of its layers; a `ExportError` for what is missing."""
    numbers: dict[str, tuple[int, int]] = {}
    for line, words in _lines(text):
        name, colon, number = words.rpartition(":")
        name = name.strip()
        try:
            value = int(number)
        except ValueError:
            colon = ""
        if not colon:
            raise ExportError(f"Line {line} is {words!r}; give `module.path: number`.")
        if name not in space.anatomy.by_name:
            raise ExportError(f"Line {line}: the model has no linear layer {name!r} in a block.")
        if name in numbers:
            raise ExportError(f"Line {line}: {name} stands in line {numbers[name][0]} already.")
        numbers[name] = line, value
    for unit in space.units:
        missing = [linear.name for linear in unit.linears if linear.name not in numbers]
        if missing:
            raise ExportError(f"The text has no line for {missing[0]}; give one a linear layer.")
        yield unit, [numbers[linear.name] for linear in unit.linears]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, by number from 1."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()
