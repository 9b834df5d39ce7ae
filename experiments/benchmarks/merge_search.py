"""Our search beside Optuna's CMA-ES and TPE and random search, at equal evaluations.

    python -m experiments.benchmarks.merge_search [--births 120] [--seeds 0 1 2 3 4] [--out DIR]

The demo's space, founders and validation sequences; one objective, the mean of the three
domains' losses. All start from the same founders, which count. Each run is a ledger below
`--out`, so that a second call goes on where the first was stopped. Knows nothing of time:
searches are compared by evaluations. The test column is the best record on the sealed split.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler, TPESampler

import evolve
from evolve import Experiment, Genetic, Steady
from evolve.genomes.merge import MergeRecipe
from evolve.search.library import OptunaSearch, gene_names
from evolve.search.protocol import Search
from experiments.merge_stories import TEST, losses, operators, space, validation
from fitness.join import Mean
from operators.selection import Tournament, Truncation

fitness = Mean(validation)
Recipe = Callable[[], Search[MergeRecipe]]


def ours() -> Search[MergeRecipe]:
    """The demo's operators under truncation: the best 20 live."""
    return Genetic(
        founders=space.founders(),
        operators=operators,
        selection=Truncation(),
        mating=Tournament(size=5),
        objectives=fitness.objectives,
        size=20,
        pace=Steady(window=1),
    )


def under(sampler: Callable[[int], BaseSampler]) -> Recipe:
    """The search that Optuna's `sampler` is, from the same founders."""
    return lambda: OptunaSearch(
        sampler, space.soup(), fitness.objectives, window=1, founders=space.founders()
    )


def cma_es(seed: int) -> BaseSampler:
    """Started at the soup with a step of a twentieth of the box, as ours is."""
    start = dict(zip(gene_names(space.box.size), space.soup().values.tolist()))
    with warnings.catch_warnings():  # x0 and sigma0 leave Optuna in version 6
        warnings.simplefilter("ignore", FutureWarning)
        return CmaEsSampler(seed=seed, x0=start, sigma0=0.05)  # of the unit cube


METHODS: dict[str, Recipe] = {
    "ours (genetic)": ours,
    "Optuna CMA-ES": under(cma_es),
    "Optuna TPE": under(lambda seed: TPESampler(seed=seed)),
    "random search": under(lambda seed: RandomSampler(seed=seed)),
}


def best_of(recipe: Recipe, name: str, births: int, seed: int, out: Path) -> tuple[float, float]:
    """(validation, test) mean loss of the best record of one run."""
    folder = out / f"{name.replace(' ', '-')}-{seed}"
    experiment = Experiment(name, recipe, fitness, births, seed=seed)
    run = evolve.run(experiment, folder, resume=(folder / "ledger.sqlite").exists())
    best = run.best("mean")
    (tested,) = Mean(losses("test", *TEST)).evaluate([best.genome], 0, 0)
    return best.score.values[0], tested.values[0]


def main() -> None:
    """Run every method on every seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--births", type=int, default=120)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, default=Path("runs/search"))
    asked = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
    for seed in asked.seeds:
        for name, recipe in METHODS.items():
            found[name].append(best_of(recipe, name, asked.births, seed, asked.out))
            print(seed, name, *found[name][-1], flush=True)
    print("| search | validation, mean ± sd | test, mean ± sd |\n|---|---|---|")
    for name, pairs in found.items():
        table = np.array(pairs)
        mean, sd = table.mean(0), table.std(0, ddof=1) if len(table) > 1 else table.std(0)
        print(f"| {name} | {mean[0]:.4f} ± {sd[0]:.4f} | {mean[1]:.4f} ± {sd[1]:.4f} |")


if __name__ == "__main__":
    main()
