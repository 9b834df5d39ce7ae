"""The card of an exported compression profile: what it is, and what people must know of it.

Knows profiles and words, no tensors.

vLLM's source, read and not run: the weight-only scheme of this format takes 4 and 8 bits up to
release 0.23 (June 2026). Pull request 46389, opened and merged late in that month, adds 2, 3, 5, 6
and 7 bits through Humming, a library of CUDA kernels; which release is the first with it was not
established. For a fused matrix (q, k, v; gate, up) it takes the first part's scheme, and refuses
one that has parts with and without a scheme. Codes of 3, 5, 6 and 7 bits are packed across words,
as compressed-tensors 0.20.0 does; the format once padded each word (compressed-tensors issue 719),
so older readers differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from evolve.export import card
from evolve.export.depth import kept_blocks, zeroed_parts
from evolve.export.profile_json import FILE, profile_json
from evolve.genomes.compression.anatomy import FUSED, Linear, Part
from evolve.genomes.compression.level import Bits, Level, Zeros
from evolve.genomes.compression.profile import CompressionProfile
from evolve.score import Record

ZEROS = "The zeros of this model do not make its file smaller: they are stored like other weights."
VLLM = (
    "Not run in vLLM. By its source, releases up to 0.23 load 4 and 8 bits in this format; 2, 3, "
    "5, 6 and 7 bits need its pull request 46389 of June 2026 and a CUDA device."
)
_DENSE = (
    "so the weights are written dense, with the values of their levels: the file is as large as "
    f"an uncompressed one. The bytes told here and in {FILE} are those of the packed form."
)
CONV1D = f"compressed-tensors packs no transposed layers (Conv1D), {_DENSE}"
OVERRIDDEN = (
    "compressed-tensors packs no layers whose class has a forward of its own, as Falcon's, "
    f"{_DENSE}"
)


def packs(profile: CompressionProfile) -> bool:
    """Whether `profile` is written packed: it keeps layers with bits, all plain `nn.Linear`."""
    quantised = _quantised(profile)
    return bool(quantised) and not any(each.transposed or each.overridden for each in quantised)


def _quantised(profile: CompressionProfile) -> list[Linear]:
    return [linear for linear, level in _kept(profile) if isinstance(level, Bits)]


def _kept(profile: CompressionProfile) -> Iterator[tuple[Linear, Level]]:
    """The layers of the blocks that stay."""
    kept = kept_blocks(profile)
    for unit, level in zip(profile.space.units, profile.levels.tolist()):
        if unit.block in kept:
            yield from zip(unit.linears, unit.levels[level])


def notes(profile: CompressionProfile) -> list[str]:
    """What people must know of the export of `profile`."""
    levels = [level for _, level in _kept(profile)]
    words = []
    if any(isinstance(level, Zeros) for level in levels):
        words.append(ZEROS)
    if packs(profile):
        words.append(_differing(profile) or VLLM)
    elif quantised := _quantised(profile):
        words.append(CONV1D if any(each.transposed for each in quantised) else OVERRIDDEN)
    kept, n_blocks = kept_blocks(profile), profile.space.n_blocks
    if gone := [str(i) for i in range(n_blocks) if i not in kept]:
        words.append(f"Deleted, by the original's numbers: blocks {', '.join(gone)}.")
    if zeroed := list(zeroed_parts(profile)):
        names = ", ".join(f"{part.value} of block {i}" for i, part in zeroed)
        words.append(
            "Removed but still in the file, as zeros that take their bytes, by the original's "
            f"numbers: {names}."
        )
    return words


def _differing(profile: CompressionProfile) -> str:
    """What to know where parts of a fused matrix are at different levels; "" if none are."""
    levels = dict(_kept(profile))
    found = []
    for block in profile.space.anatomy.blocks:
        for part, tie in product(Part, FUSED):
            fused = [each for each in block.part(part) if each.own in tie and each in levels]
            if len({levels[each] for each in fused}) > 1:
                found.append(", ".join(f"{each.name} {levels[each].name}" for each in fused))
    if not found:
        return ""
    return (
        "Not for vLLM: by its source it holds q, k and v, and gate and up, as one matrix each, "
        f"with one scheme for all of it. {len(found)} of them have parts at different levels, "
        f"first {found[0]}. Search a space built with tied=True for what it can load."
    )


def profile_card(title: str, record: Record[CompressionProfile], story: Mapping[str, str]) -> str:
    """The whole README of the export of `record` under the name `title`."""
    profile = record.genome
    source = profile.space.anatomy.source
    base = card.Parent(
        card.known_as(source.path), "base", card.licence_of(source.path), source.digest
    )
    summary = (
        f"{base.name} compressed by a profile of its own for every layer, found by evolutionary "
        f"search (evolve): birth {record.birth}, genome `{record.digest[:16]}`."
    )
    told = notes(profile)
    licence = "The base model's licence binds this model."
    if base.licence == card.NOT_STATED:
        licence += " It states none; ask its owner before passing this model on."
    rows = [(base.name, base.licence, f"`{base.digest[:16]}`")]
    sections = {
        **({card.NOTES: card.points(told)} if told else {}),
        **story,
        "Profile": _profile_table(profile),
        "Base model and licence": card.table(("base", "licence", "sha256 (first 16)"), rows)
        + f"\n\n{licence}",
        "Use": card.usage(title),
    }
    relation = "quantized" if packs(profile) else "finetune"
    tags = ("compressed-tensors", "evolve") if packs(profile) else ("evolve",)
    return card.card(title, summary, [base], tags, sections, relation)


def _profile_table(profile: CompressionProfile) -> str:
    told = profile_json(profile)["costs"]
    costs = [(name, _shown(cost["value"]), cost["unit"]) for name, cost in told.items()]
    levels: dict[tuple[int, Part], list[str]] = {}
    for unit, level in zip(profile.space.units, profile.levels.tolist()):
        names = "+".join(linear.own for linear in unit.linears)
        at = "+".join(dict.fromkeys(each.name for each in unit.levels[level]))
        levels.setdefault((unit.block, unit.part), []).append(f"{names} {at}")
    rows = [
        (
            str(i),
            *(
                ", ".join(levels[i, part]) if profile.keeps(i, part) else "removed"
                for part in Part
            ),
        )
        for i in range(profile.space.n_blocks)
    ]
    intro = (
        "By the original's blocks. `b3g64` is 3 bits with a scale for 64 inputs, `z1000` has "
        f"1000 zeros, `dense` is as it was. The same for programs: `{FILE}`."
    )
    return "\n\n".join(
        [
            intro,
            card.table(("cost", "value", "unit"), costs),
            card.table(("block", "attention", "MLP"), rows),
        ]
    )


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
