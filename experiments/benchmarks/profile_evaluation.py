"""Seconds to evaluate one generation of compression profiles: ours, and a swap-and-run loop.

    python -m experiments.benchmarks.profile_evaluation --model DIR --database DIR [--sequences N]

A random parent at the middle of the database's bits and `--children` of it, each by EvoPress's
level switches (min of two U{1..3}; a bit up in one unit, a bit down in another of its size), on
the same sequences. The peer is EvoPress's way, written plainly: one resident model; for each
candidate, layers whose level differs from the last candidate's are loaded from files of dense
tensors, the model is run on one sequence after another, and the KL is taken between two full
log-softmaxes, the dense model's from its stored logits. Both in this process on one thread, in
turns; medians, and equal KL is asserted. The text is the dense model's own, at temperature 1.
On a CPU seconds are this process's own, whoever else is at work there; on a GPU by the wall.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar
from unittest.mock import patch

import numpy as np
import torch
from torch.nn.functional import kl_div

import fitness.divergence.divergence as measuring
import fitness.divergence.walk as walking
from evolve.genomes.compression.database import Database
from evolve.genomes.compression.level import Bits
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ProfileSpace
from fitness.divergence import Divergence
from fitness.divergence.body import Body
from fitness.live import live_model, load_


def main() -> None:
    """Prints the ratio, where the time goes, and what a cut vocabulary saves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--database", type=Path, required=True, help="of bits")
    parser.add_argument("--children", type=int, default=16)
    parser.add_argument("--sequences", type=int, default=1)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--shard", type=int, default=1, help="sequences a forward pass, of ours")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    space = ProfileSpace.of(asked.model, asked.database, grid=grid_of(asked.database))
    rng = np.random.default_rng(0)
    profiles = generation(space, asked.children, rng)
    tokens = sampled(space, asked.sequences, asked.length, asked.device)
    gpus = float(asked.device == "cuda")
    full = Divergence(space, tokens, top_k=0, shard=asked.shard, gpus=gpus, kept=2**34)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        peer = SwapAndRun(space, tokens, asked.device, Path(folder))
        ways = {
            "swap and run": lambda: peer.divergences(profiles),
            "ours": lambda: scored(full, profiles),
            "ours, top 512": lambda: scored(replace(full, top_k=512), profiles),
        }
        clock = time.perf_counter if gpus else time.process_time
        measure(ways, asked.repeats, clock)


def measure(
    ways: dict[str, Callable[[], np.ndarray]], repeats: int, clock: Callable[[], float]
) -> None:
    """Runs all ways in turns and prints their table. Raises `AssertionError` if KLs differ."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    splits: dict[str, dict[str, float]] = {name: defaultdict(float) for name in ways}
    found: dict[str, np.ndarray] = {}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            with clocked(clock) as split:
                start = clock()
                found[name] = way()
                taken = clock() - start
            if turn:  # the first warms up, and computes the dense model's side
                times[name].append(taken)
                for part, spent in split.items():
                    splits[name][part] += spent
        np.testing.assert_allclose(found["ours"], found["swap and run"], rtol=1e-3, atol=5e-6)
    middle = {name: statistics.median(each) for name, each in times.items()}
    print(f"{'':14} {'seconds':>8} {'times faster':>13}  split in %")
    for name, split in splits.items():
        parts = {part: 100 * spent / sum(times[name]) for part, spent in split.items()}
        parts["other"] = 100 - sum(parts.values())
        shown = ", ".join(f"{part} {share:.1f}" for part, share in parts.items())
        ratio = middle["swap and run"] / middle[name]
        print(f"{name:14} {middle[name]:8.2f} {ratio:13.2f}  {shown}")
    print(f"full / top 512: {middle['ours'] / middle['ours, top 512']:.2f} times")
    gap = found["ours"] / found["ours, top 512"]
    print(f"KL of the parent {found['ours'][0]:.6f}; full over top 512: {gap.mean():.4f}")


def grid_of(database: Path) -> BitGrid:
    """The bits that every layer of `database` has."""
    opened = Database.open(database)
    levels = [set(opened.levels(name)) for name in opened.layers]
    common = [each for each in set.intersection(*levels) if isinstance(each, Bits)]
    return BitGrid(tuple(sorted(each.bits for each in common)), common[0].group)


def generation(
    space: ProfileSpace, n_children: int, rng: np.random.Generator
) -> list[CompressionProfile]:
    """A parent with a quarter of its units each a level up and down, and children of it."""
    units, top = space.units, len(space.units[0].levels) - 1
    levels = np.full(len(units), top // 2)
    moved = rng.permutation(len(units))[: len(units) // 2]
    levels[moved[::2]] = min(top, top // 2 + 1)
    levels[moved[1::2]] = max(0, top // 2 - 1)
    made = [levels]
    while len(made) <= n_children:
        child = levels.copy()
        for _ in range(min(rng.integers(1, 4, 2))):
            up = rng.choice([i for i in range(len(units)) if child[i] < top])
            like = [i for i in range(len(units)) if units[i].size == units[up].size]
            down = rng.choice([i for i in like if child[i] > 0])
            child[up] += 1
            child[down] -= 1
        if not any((child == other).all() for other in made):
            made.append(child)
    return [CompressionProfile.at(space, each) for each in made]


def sampled(space: ProfileSpace, n: int, length: int, device: str) -> np.ndarray:
    """(n, length) tokens that the dense model writes, the same in every run on one device."""
    model = live_model(space.anatomy.source.path, device).eval()
    load_(model, CompressionProfile.dense(replace(space, grid=None)).express())
    start = torch.full((n, 1), model.config.bos_token_id or 0, device=device)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        written = model.generate(
            start,
            attention_mask=torch.ones_like(start),
            do_sample=True,
            top_k=0,
            min_length=length,
            max_length=length,
        )
    return written.cpu().numpy()


def scored(fitness: Divergence, profiles: Sequence[CompressionProfile]) -> np.ndarray:
    """(n,) our KL."""
    return np.array([score.values[0] for score in fitness.evaluate(profiles, 0, 0)])


class SwapAndRun:
    """The peer: one resident model into which layers are loaded, candidate after candidate."""

    def __init__(self, space: ProfileSpace, tokens: np.ndarray, device: str, folder: Path) -> None:
        self.model = live_model(space.anatomy.source.path, device).eval()
        load_(self.model, CompressionProfile.dense(replace(space, grid=None)).express())
        self.ids = torch.from_numpy(tokens).to(device)
        self.logits = [self.model(row[None], use_cache=False).logits.cpu() for row in self.ids]
        self.folder = folder
        self.loaded: dict[str, str] = {}
        assert space.database is not None
        database = Database.open(space.database)
        for linear in space.anatomy.linears:
            for level in database.levels(linear.name):
                weight = database.weight(linear, level)
                kept = weight.T.contiguous() if linear.transposed else weight
                torch.save(kept, folder / f"{linear.name}.{level.name}.pth")

    def divergences(self, profiles: Sequence[CompressionProfile]) -> np.ndarray:
        """(n,) mean-token KL."""
        found = []
        for profile in profiles:
            self.load(profile)
            each = [self.divergence(i) for i in range(len(self.ids))]
            found.append(np.mean(each))
        return np.array(found)

    def load(self, profile: CompressionProfile) -> None:
        """Put the profile's levels into the model."""
        for linear, level in profile.layers():
            if self.loaded.get(linear.name) != level.name:
                weight = torch.load(self.folder / f"{linear.name}.{level.name}.pth")
                module = self.model.get_submodule(linear.name)
                module.weight.data = weight.to(self.ids.device, torch.float32)
                self.loaded[linear.name] = level.name

    def run(self, i: int) -> torch.Tensor:
        """(1, t, v) logits of sequence `i`, blocks and head."""
        logits: torch.Tensor = self.model(self.ids[i : i + 1], use_cache=False).logits
        return logits

    def divergence(self, i: int) -> float:
        """Mean-token KL of sequence `i`, its last position left out."""
        logits = self.run(i)[:, :-1]
        return self.kl(logits, self.logits[i].to(logits.device)[:, :-1])

    def kl(self, logits: torch.Tensor, dense: torch.Tensor) -> float:
        """Mean KL of two sets of logits (1, t, v)."""
        vocabulary = logits.shape[-1]
        ours, target = (each.reshape(-1, vocabulary).log_softmax(-1) for each in (logits, dense))
        return float(kl_div(ours, target, reduction="batchmean", log_target=True))


@contextmanager
def clocked(clock: Callable[[], float]) -> Iterator[dict[str, float]]:
    """Inside, seconds are added up by what they are spent on; both ways'."""
    split: dict[str, float] = defaultdict(float)
    places: list[tuple[object, str, str]] = [
        (Body, "step", "blocks"),
        (Body, "leave", "head"),
        (measuring, "divergence_", "KL"),
        (walking, "_weight", "loading"),
        (SwapAndRun, "run", "blocks and head"),
        (SwapAndRun, "kl", "KL"),
        (SwapAndRun, "load", "loading"),
    ]
    with ExitStack() as stack:
        for owner, name, part in places:
            stack.enter_context(
                patch.object(owner, name, _timed(vars(owner)[name], part, split, clock))
            )
        yield split


P = ParamSpec("P")
T = TypeVar("T")


def _timed(
    way: Callable[P, T], part: str, split: dict[str, float], clock: Callable[[], float]
) -> Callable[P, T]:
    def timed(*args: P.args, **kwargs: P.kwargs) -> T:
        start = clock()
        found = way(*args, **kwargs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        split[part] += clock() - start
        return found

    return timed


if __name__ == "__main__":
    main()
