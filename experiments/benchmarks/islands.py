"""Four islands on two Ray workers against one population, at equal evaluations, on DTLZ3.

    python -m experiments.benchmarks.islands [--seeds 21] [--out runs/islands]

Both sides are the same NSGA-III on the same directions for the same generations: four islands of
p against one population of 4p, which runs in this process. Small: p = 92 for 1,000 generations,
as Deb & Jain 2014 give DTLZ3 with three objectives, where a torch operation costs more than its
arithmetic; large: p = 2,000 for 250. What a run is worth: the IGD of as many of all its last
individuals as there are directions, kept by NSGA-III. The time is that of all stints but each
island's first, so that no start of a worker counts. Each run is a ledger below `--out`: a second
call goes on where the first was stopped. The sizes were chosen on seeds 0 and 1, which are not
among these; seeds were fixed before the first run, and every run is listed.
"""

from __future__ import annotations

import argparse
import logging
import math
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import moocore
import numpy as np
import torch
from evox.problems.numerical import DTLZ3

import evolve
from evolve import Experiment
from evolve.genomes.island import Island
from evolve.search.islands import Islands, Ring, population
from experiments.benchmarks.statistics_of_runs import fisher, in_tail, ratio_interval, verdict
from fitness.stint import Stint
from operators import tensor
from operators.selection import NSGA3, das_dennis

SEEDS = tuple(range(10, 31))
M, N_GENES, N_ISLANDS, N_WORKERS = 3, 12, 4, 2
GENERATIONS = 50  # a stint
MARGIN = 0.02  # of the median IGD's ratio


@dataclass(frozen=True)
class Setting:
    """How many individuals an island, on the directions of how many divisions, for how long."""

    name: str
    size: int
    divisions: int
    stints: int


SETTINGS = (Setting("small", 92, 12, 20), Setting("large", 2000, 61, 5))


@dataclass(frozen=True)
class Found:
    """What one run gave; `seconds` is NaN where the run was interrupted."""

    igd: float
    seconds: float


def algorithm(size: int, divisions: int) -> tensor.Evolution:
    """NSGA-III in float64."""
    low = torch.zeros(N_GENES, dtype=torch.float64)
    return tensor.NSGA3(size, M, low, low + 1, points=das_dennis(M, divisions))


def experiment(setting: Setting, n_islands: int, seed: int) -> Experiment[Island]:
    """The individuals of `N_ISLANDS` islands, on `n_islands`."""
    size = setting.size * N_ISLANDS // n_islands
    evolving = partial(algorithm, size, setting.divisions)
    stint = Stint(evolving, partial(DTLZ3, N_GENES, M), GENERATIONS, reference=(1.1,) * M)
    search = partial(
        Islands,
        n_islands=n_islands,
        selection=NSGA3(das_dennis(M, setting.divisions)),
        migrants=setting.size // 10,
        objectives=stint.objectives,
        topology=Ring(),
    )
    return Experiment(setting.name, search, stint, n_islands * setting.stints, seed=seed)


def measure(setting: Setting, n_islands: int, seed: int, out: Path) -> Found:
    """Run, resume or read one run; several islands share two workers."""
    folder = out / f"{setting.name}-{n_islands}-{seed}"
    run = evolve.run(
        experiment(setting, n_islands, seed),
        folder,
        workers=0 if n_islands == 1 else N_WORKERS,
        resume=(folder / "ledger.sqlite").exists(),
    )
    _, fit = population(run.records)
    return Found(igd(fit, setting.divisions), seconds(folder, n_islands, setting.stints))


def igd(fit: np.ndarray, divisions: int) -> float:
    """To 20,100 points of the true front, of as many of costs (p, m) as there are directions."""
    points = das_dennis(M, divisions)
    generator = torch.Generator().manual_seed(0)
    kept = NSGA3(points)(torch.from_numpy(fit), len(points), generator=generator).indices
    front = das_dennis(M, divisions=199)
    front /= front.norm(dim=1, keepdim=True)
    return float(moocore.igd(fit[kept.numpy()], front.numpy()))


def seconds(folder: Path, n_islands: int, stints: int) -> float:
    """Wall time of the stints after each island's first, as if it were of all stints."""
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as database:
        rows = database.execute("SELECT birth, epoch, ended FROM attempt").fetchall()
    if len({birth for birth, epoch, _ in rows if epoch == 1}) < n_islands * stints:
        return math.nan  # went on in another epoch
    begun = max(ended for birth, _, ended in rows if birth < n_islands)
    return float(max(ended for _, _, ended in rows) - begun) * stints / (stints - 1)


def report(name: str, found: Mapping[int, Sequence[Found]]) -> list[str]:
    """Lines of markdown: every run of setting `name`, by islands, and their comparison."""
    lines = ["| setting, seed | islands: IGD | s | one: IGD | s |", "|---|---|---|---|---|"]
    for seed, pair in zip(SEEDS, zip(found[N_ISLANDS], found[1])):
        cells = " | ".join(f"{run.igd:.5f} | {run.seconds:.1f}" for run in pair)
        lines.append(f"| {name}, {seed} | {cells} |")
    ours, theirs = (np.array([run.igd for run in found[n]]) for n in (N_ISLANDS, 1))
    time, other_time = (np.nanmedian([run.seconds for run in found[n]]) for n in (N_ISLANDS, 1))
    ratio, low, high = ratio_interval(ours, theirs)
    hits, other_hits = in_tail(ours, theirs)
    p = fisher(hits, len(ours), other_hits, len(theirs))
    return [
        *lines,
        f"{name}: median IGD {ratio:.4f} of one population's, 90 % {low:.4f} to {high:.4f} "
        f"({verdict(low, high, MARGIN, less_is_better=True)}); above 1.05 of the common median "
        f"{hits} and {other_hits} of {len(ours)} (p = {p:.2f}); wall time {time:.1f} s, "
        f"{time / other_time:.2f} of one population's.",
    ]


def main() -> None:
    """Run both sides of every setting on every seed and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many of the seeds")
    parser.add_argument("--out", type=Path, default=Path("runs/islands"))
    asked = parser.parse_args()

    import ray

    ray.init(  # once for all runs
        address="local",
        num_cpus=N_WORKERS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    for setting in SETTINGS:
        found: dict[int, list[Found]] = {N_ISLANDS: [], 1: []}
        for seed in SEEDS[: asked.seeds]:
            for n_islands, runs in found.items():
                runs.append(measure(setting, n_islands, seed, asked.out))
                print(setting.name, seed, n_islands, runs[-1], flush=True)
        print("\n".join(report(setting.name, found)), flush=True)


if __name__ == "__main__":
    main()
