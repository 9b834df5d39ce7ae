"""Seconds to realise one merge candidate: ours, mergekit's `merge_state_dicts`, `run_merge`.

    python -m experiments.benchmarks.merge_realise [--rounds N]

The demo's base and three experts (bfloat16, embeddings frozen) and, for what frozen embeddings
cannot flatter, one where every tensor moved. Every round draws new weights and densities and
times the three side by side on one thread; medians. mergekit's models are already in memory for
`merge_state_dicts` and read from disk by `run_merge`, which also writes the result; our caches
are built before, their cost is printed. Agreement is max |difference| / max |weight| before
rounding, the worst tensor; DARE's masks are ours, so only its tests can compare it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from evolve.genomes.calm import untouched_random_state
from evolve.genomes.checkpoint import Source
from evolve.genomes.merge import MergeRecipe, MergeSpace
from evolve.genomes.methods import Method
from evolve.genomes.realise import prepare

METHODS = (Method.LINEAR, Method.TIES, Method.DARE_TIES)


def main() -> None:
    """Prints one table a family of models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="candidates a method")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    from experiments import material

    base, experts = material.base(), list(material.experts().values())
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EVOLVE_CACHE"] = str(Path(folder) / "cache")
        table("the demo's models", base, experts, rounds, Path(folder))
        moved = [perturbed(base, Path(folder) / f"moved{i}", i) for i in range(3)]
        table("every tensor moved", base, moved, rounds, Path(folder))


def table(title: str, base: Path, experts: Sequence[Path], rounds: int, folder: Path) -> None:
    """Times all methods on one family and prints their rows."""
    print(f"\n{title}: median seconds of {rounds} candidates, wall (CPU), 1 thread")
    print(
        f"{'method':10} {'ours':>16} {'merge_state_dicts':>20} {'run_merge':>16}   "
        f"{'times faster':>13} {'than disk':>13}   agreement"
    )
    for method in METHODS:
        space = MergeSpace.of(base, experts, method=method)
        start = time.perf_counter()
        prepare(space)
        built = time.perf_counter() - start
        inputs = [dict(s.tensors(s.entries)) for s in (space.base, *space.experts)]
        inputs = [{name: t.clone() for name, t in model.items()} for model in inputs]
        rng = np.random.default_rng(0)
        times: tuple[list[tuple[float, float]], ...] = ([], [], [])
        for _ in range(rounds + 1):
            recipe = space.recipe(space.box.draw(rng))
            ways: tuple[Callable[[], object], ...] = (
                recipe.express,
                partial(in_memory, recipe, inputs),
                partial(on_disk, recipe, folder / "out"),
            )
            for way, found in zip(ways, times):
                found.append(timed(way))
        ours, theirs, disk = (
            tuple(map(statistics.median, zip(*found[1:]))) for found in times
        )  # the first round warms up
        print(
            f"{method.value:10} {show(ours):>16} {show(theirs):>20} {show(disk):>16}   "
            f"{faster(theirs, ours):>13} {faster(disk, ours):>13}   "
            f"{agreement(recipe, inputs)}; caches built in {built:.1f} s"
        )


def timed(way: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - wall, time.process_time() - cpu


def show(pair: tuple[float, ...]) -> str:
    """`wall (CPU)`."""
    return f"{pair[0]:.3f} ({pair[1]:.3f})"


def faster(theirs: tuple[float, ...], ours: tuple[float, ...]) -> str:
    """The ratio, `wall (CPU)`."""
    return f"{theirs[0] / ours[0]:.1f} ({theirs[1] / ours[1]:.1f})"


def in_memory(
    recipe: MergeRecipe, inputs: Sequence[dict[str, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """mergekit's merge of models in memory, in float32, rounded to the recipe's dtype."""
    from mergekit.merge_methods import PerGroupValues, merge_state_dicts

    given = recipe.parameters()
    names = {name for settings in given.values() for name in settings}
    with untouched_random_state(0):
        return merge_state_dicts(
            inputs,
            recipe.space.method.value,
            parameters={n: PerGroupValues([given[t][n] for t in inputs[0]]) for n in names},
            base=None if recipe.space.method is Method.LINEAR else 0,
            dtype=torch.float32,
            out_dtype=getattr(torch, recipe.space.dtype),
        )


def on_disk(recipe: MergeRecipe, folder: Path) -> None:
    """mergekit's merge from disk to disk, of the YAML that we export."""
    import yaml
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    from evolve.export.mergekit_yaml import mergekit_yaml

    config = MergeConfiguration.model_validate(yaml.safe_load(mergekit_yaml(recipe)))
    run_merge(config, str(folder), MergeOptions(quiet=True, write_model_card=False))


def agreement(recipe: MergeRecipe, inputs: Sequence[dict[str, torch.Tensor]]) -> str:
    """How far ours is from `merge_state_dicts` in float32."""
    if recipe.space.method is Method.DARE_TIES:
        return "own masks"
    exact = MergeRecipe(replace(recipe.space, dtype="float32"), recipe.values)
    ours, theirs = exact.express(), in_memory(exact, inputs)
    if all(torch.equal(ours[name], theirs[name]) for name in theirs):
        return "equal bits"
    worst = max(
        float((ours[name] - theirs[name]).abs().max() / theirs[name].abs().max())
        for name in theirs
    )
    return f"within {worst:.1e}"


def perturbed(base: Path, folder: Path, seed: int) -> Path:
    """A copy of `base` with noise on every tensor, a fifth of its spread."""
    import shutil

    from safetensors.torch import save_file

    folder.mkdir()
    generator = torch.Generator().manual_seed(seed)
    moved = {}
    for name, tensor in Source.of(base).tensors(Source.of(base).entries):
        noise = torch.randn(tensor.shape, generator=generator)
        moved[name] = (tensor.float() + 0.2 * tensor.float().std() * noise).to(tensor.dtype)
    save_file(moved, folder / "model.safetensors", {"format": "pt"})
    shutil.copy(base / "config.json", folder)
    return folder


if __name__ == "__main__":
    main()
