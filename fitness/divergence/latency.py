"""How long a model's parts take on this machine: the latency table of a budget or an objective.

    python -m fitness.divergence.latency MODEL --out latency.json

Each attention and MLP is timed as what its block takes with it, less what it takes without; like
blocks share one time, the median of theirs. Its linear layers share that by their sizes, and all
levels have it, because what transformers runs is dense whatever the level: put the times of your
own kernels into the file. Knows no search.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import median
from typing import Any, Self

import numpy as np

from evolve.errors import EvolveError, GenomeError
from evolve.genomes.compression.anatomy import Anatomy, Block, Part
from evolve.genomes.compression.budget import Cost, latency
from evolve.genomes.compression.space import ProfileSpace
from fitness.divergence.body import body_of

TRIES = 5  # of each forward pass; the shortest counts
LENGTH = 512


@dataclass(frozen=True)
class Latencies:
    """Seconds a token: `seconds[linear's name][level's name]`, and `fixed` outside the layers.

    The level "*" stands for all that are not named.
    """

    seconds: Mapping[str, Mapping[str, float]]
    fixed: float

    def cost(self, space: ProfileSpace) -> Cost:
        """The latency of profiles of `space`; raises `GenomeError` for a level that is missing."""
        table: dict[tuple[str, str], float] = {}
        for unit in space.units:
            for linear, level in (pair for at in unit.levels for pair in zip(unit.linears, at)):
                known = self.seconds.get(linear.name, {})
                found = known.get(level.name, known.get("*"))
                if found is not None:
                    table[linear.name, level.name] = found
        return latency(space, table, self.fixed)

    def save(self, file: Path) -> None:
        """As JSON, whole or not at all."""
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f".{file.name}.new")
        new.write_text(json.dumps({"fixed": self.fixed, "seconds": self.seconds}, indent=1) + "\n")
        new.replace(file)

    @classmethod
    def load(cls, file: Path) -> Self:
        """What `save` wrote, or a file of that form. Raises `GenomeError` if it is not."""
        try:
            found: Any = json.loads(file.read_text())
            seconds = {
                str(name): {str(level): float(each) for level, each in levels.items()}
                for name, levels in found["seconds"].items()
            }
            return cls(seconds, float(found["fixed"]))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise GenomeError(
                f"{file} is no latency table ({type(error).__name__}: {error}); expected JSON: "
                '{"fixed": seconds, "seconds": {layer: {level, or "*": seconds}}}; '
                "python -m fitness.divergence.latency makes one."
            ) from error


def measured(
    anatomy: Anatomy,
    *,
    tokens: tuple[int, int] = (1, LENGTH),
    device: str = "cpu",
    dtype: str = "float32",
) -> Latencies:
    """What each layer of `anatomy` takes a token, in batches of `tokens`: (sequences, length).

    Times are this machine's and never the same twice: measure once, `save`, and `load`.
    """
    import torch

    body = body_of(anatomy, device, dtype)
    ids = torch.from_numpy(np.random.default_rng(0).integers(2, size=tokens)).to(device)

    def shortest(work: Callable[[], object]) -> float:
        best = inf
        for _ in range(TRIES + 1):  # the first one warms up
            begun = time.perf_counter()
            work()
            if device != "cpu":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - begun)
        return best

    taken: dict[tuple[Part, tuple[tuple[int, int], ...]], list[float]] = {}
    with torch.inference_mode():
        entry = body.enter(ids)
        for b, block in enumerate(anatomy.blocks):
            whole = shortest(lambda b=b: body.step(b, entry.hidden, entry.calls[b], {}))  # type: ignore[misc]
            for part in Part:
                rest = shortest(
                    lambda b=b, part=part: body.step(  # type: ignore[misc]
                        b, entry.hidden, entry.calls[b], {}, (part,)
                    )
                )
                taken.setdefault((part, _shapes(block, part)), []).append(max(whole - rest, 0.0))
        total = shortest(lambda: body.logits(ids))
    seconds: dict[str, Mapping[str, float]] = {}
    for block in anatomy.blocks:
        for part in Part:
            linears = block.part(part)
            each = median(taken[part, _shapes(block, part)]) / sum(x.size for x in linears)
            seconds |= {x.name: {"*": each * x.size / ids.numel()} for x in linears}
    parts = sum(levels["*"] for levels in seconds.values())
    return Latencies(seconds, max(total / ids.numel() - parts, 0.0))


def _shapes(block: Block, part: Part) -> tuple[tuple[int, int], ...]:
    return tuple((linear.rows, linear.columns) for linear in block.part(part))


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the table and prints it by part."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="a checkpoint directory or hub id")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sequences", type=int, default=1, help="in a batch")
    parser.add_argument("--length", type=int, default=LENGTH, help="tokens of a sequence")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    given = parser.parse_args(arguments)
    try:
        anatomy = Anatomy.of(given.model)
        tokens = (given.sequences, given.length)
        found = measured(anatomy, tokens=tokens, device=given.device, dtype=given.dtype)
    except EvolveError as error:
        print(error, file=sys.stderr)
        return 1
    found.save(given.out)
    for part in Part:
        blocks = [sum(found.seconds[x.name]["*"] for x in b.part(part)) for b in anatomy.blocks]
        print(
            f"{part:<10} {1e6 * min(blocks):.3g} to {1e6 * max(blocks):.3g} us a token and block"
        )
    print(f"{'the rest':<10} {1e6 * found.fixed:.3g} us a token\nwritten to {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
