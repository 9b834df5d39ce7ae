"""What scoring profiles will take, said before any work. Knows shapes, no weights.

Memory by the formula in `Divergence`: the model, hidden states, the weights of one block at
every level, logits and dense targets. Time by the products with linear layers and head, at the
rate of one such product here.
"""

from __future__ import annotations

from dataclasses import dataclass

from evolve.genomes.checkpoint import read_config
from evolve.genomes.compression.space import ProfileSpace
from evolve.genomes.compression.speed import products_a_second

MB = 1e6


@dataclass(frozen=True)
class Load:
    """How much goes through a model at a time; names as in `Divergence`."""

    rungs: tuple[int, ...]
    length: int
    batch: int
    shard: int
    top_k: int
    itemsize: int  # of the dtype
    kept: int


def plan_of(space: ProfileSpace, load: Load) -> list[str]:
    """Lines: the model and its units, the levels, and by rung tokens and time; memory."""
    anatomy = space.anatomy
    lines = [
        f"model       {anatomy.source.name}: {space.n_blocks} blocks, "
        f"{len(anatomy.linears)} linear layers in {len(space.units)} units"
    ]
    if space.database is not None and space.grid is not None:
        taken = sum(file.stat().st_size for file in space.database.glob("*.safetensors"))
        few, most = int(space.n_levels.min()), int(space.n_levels.max())
        lines.append(
            f"levels      {few if few == most else f'{few} to {most}'} a unit, {space.grid}, "
            f"{taken / MB:,.0f} MB in {space.database}"
        )
    sizes = sorted({n * load.length for n in load.rungs})
    lines.append(f"tokens      {', '.join(f'{n:,}' for n in sizes)} an evaluation, by rung")
    each = work(space) / products_a_second()
    lines.append(
        f"time        about {', '.join(f'{n * each:.2g}' for n in sizes)} s an evaluation on one "
        "core, by rung; less where profiles share their first blocks"
    )
    lines.append(
        f"memory      about {memory(space, load) / MB:,.0f} MB a worker, {load.batch} profiles at "
        "a time"
    )
    return lines


def minutes(space: ProfileSpace, tokens: int) -> float:
    """How long `tokens` take on one core, where no profiles share blocks."""
    return tokens * work(space) / products_a_second() / 60


def work(space: ProfileSpace) -> int:
    """Floating-point operations a token: two a weight of the linear layers and the head."""
    width, vocabulary = _shape(space)
    return 2 * (sum(linear.size for linear in space.anatomy.linears) + width * vocabulary)


def memory(space: ProfileSpace, load: Load) -> int:
    """Bytes that a worker takes at its dearest rung."""
    width, vocabulary = _shape(space)
    positions, n = load.length - 1, max(load.rungs)
    parameters = sum(entry.size for entry in space.anatomy.source.entries.values())
    largest = max(sum(linear.size for linear in block.linears) for block in space.anatomy.blocks)
    targets = n * positions * (8 * load.top_k if load.top_k else 4 * vocabulary)
    return (
        load.itemsize * parameters
        + load.itemsize * (load.batch + 2) * n * positions * width
        + load.itemsize * largest * int(space.n_levels.max())
        + (load.itemsize + 4) * load.shard * positions * vocabulary
        + min(targets, load.kept)
    )


def _shape(space: ProfileSpace) -> tuple[int, int]:
    """Hidden size and vocabulary."""
    config = read_config(space.anatomy.source.path)
    text = config.get("text_config", config)
    width = int(text.get("hidden_size") or text.get("n_embd") or 0)
    return width, int(text.get("vocab_size") or 0)
