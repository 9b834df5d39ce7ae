"""Is our NSGA-III as good as pymoo's? Every run listed, medians and tails compared.

    python -m experiments.benchmarks.quality [--only dtlz1] [--objectives 3] [--workers 2]
    python -m experiments.benchmarks.quality --report     # the tables, of the runs in the file
    python -m experiments.benchmarks.quality --speed      # CPU time of a generation

Problems, generations, populations, seeds and metrics are fixed here, before the first run. A run
is one line of the CSV, written when it ends; one that is there is not repeated, so that a killed
benchmark goes on where it was. Both sides evaluate the same problem objects and make as many
populations; what differs is in `sides`.

IGD: mean distance from the sample of the true front to the final population. HV: hypervolume up
to 1.1 times the nadir point; exact for M <= 5, for M = 8 over moocore's fixed set of directions
(Rphi-FWE+), within 0.1 % where tried. Both over the whole final population, on objectives scaled
by the true front to ideal 0 and nadir 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from functools import cache
from pathlib import Path

import moocore
import numpy as np
import torch
from threadpoolctl import threadpool_limits

from experiments.benchmarks.pymoo_problem import FAMILIES
from experiments.benchmarks.quality_tables import tables
from experiments.benchmarks.runs_file import Run, Task, append, read
from experiments.benchmarks.sides import Begin, Ours, native, peer, stock
from operators.selection import das_dennis, two_layer

SIDES: dict[str, Begin] = {
    "ours": Ours,
    "pymoo": peer,
    "pymoo-native": native,
    "pymoo-stock": stock,
}
COMPARED = ("ours", "pymoo")
TIMED = ("ours", "pymoo-stock", "pymoo-native")
SEEDS = tuple(range(1, 22))  # M = 2, 3; for M = 5, 8 the first 11
POPULATION = {2: 100, 3: 92, 5: 212, 8: 156}

# Populations made, the first random one among them. DTLZ and scaled: Deb & Jain 2014. Inverted:
# as the upright problem. ZDT: our choice; at 250 runs of one side still differ twofold on ZDT4.
GENERATIONS: dict[str, dict[int, int]] = {
    "dtlz1": {3: 400, 5: 600, 8: 750},
    "dtlz2": {3: 250, 5: 350, 8: 500},
    "dtlz3": {3: 1000, 5: 1000, 8: 1000},
    "dtlz4": {3: 600, 5: 1000, 8: 1250},
    "scaled-dtlz1": {3: 400, 5: 600, 8: 750},
    "scaled-dtlz2": {3: 250, 5: 350, 8: 500},
    "inverted-dtlz1": {3: 400, 5: 600, 8: 750},
    "inverted-dtlz2": {3: 250, 5: 350, 8: 500},
    "zdt1": {2: 500},
    "zdt2": {2: 500},
    "zdt3": {2: 500},
    "zdt4": {2: 500},
    "zdt6": {2: 500},
}


def points_for(m: int) -> np.ndarray:
    """(r, m) reference points: 100, 91, 210, 156 for m = 2, 3, 5, 8 (Deb & Jain 2014, table I)."""
    if m == 8:
        return two_layer(8, outer=3, inner=2).numpy()
    return das_dennis(m, {2: 99, 3: 12, 5: 6}[m]).numpy()


def seeds_for(m: int) -> tuple[int, ...]:
    """The seeds of every problem with m objectives, on both sides."""
    return SEEDS if m <= 3 else SEEDS[:11]


@cache
def front(problem: str, m: int) -> np.ndarray:
    """(r, m): the sample of the true front."""
    return FAMILIES[problem].front(m)


def measured(costs: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """(IGD, HV) of `costs` (n, m) against `true` (r, m), both scaled by `true` to the unit box."""
    ideal, nadir = true.min(0), true.max(0)
    scaled = (costs - ideal) / (nadir - ideal)
    sample = (true - ideal) / (nadir - ideal)
    corner = np.full(true.shape[1], 1.1)
    volume = moocore.hypervolume if true.shape[1] <= 5 else moocore.hv_approx
    return float(moocore.igd(scaled, ref=sample)), float(volume(scaled, ref=corner))


def made(task: Task) -> Run:
    """Make one run; about its CPU seconds."""
    m = task.objectives
    problem = FAMILIES[task.problem].build(m)
    begun = time.process_time()
    side = SIDES[task.side](problem, points_for(m), POPULATION[m], task.seed)
    for _ in range(task.generations):
        side.generation()
    cpu_s = time.process_time() - begun
    return Run(task, *measured(side.costs(), front(task.problem, m)), cpu_s)


def planned(
    problems: Sequence[str], objectives: Sequence[int], sides: Sequence[str], seeds: Sequence[int]
) -> list[Task]:
    """Every run asked for; the seeds given, or those of the benchmark if none."""
    return [
        Task(problem, m, side, seed, generations)
        for problem in problems
        for m, generations in GENERATIONS[problem].items()
        if m in objectives
        for seed in seeds or seeds_for(m)
        for side in sides
    ]


def generation_times(generations: int, seed: int) -> dict[str, float]:
    """Median CPU seconds of a generation by side: DTLZ2, M = 3, 12 genes, population 92.

    Turn by turn in this process, on one thread, evaluation included; the first twenty generations
    do not count.
    """
    problem, points = FAMILIES["dtlz2"].build(3), points_for(3)
    sides = {name: SIDES[name](problem, points, POPULATION[3], seed) for name in TIMED}
    times: dict[str, list[float]] = {name: [] for name in TIMED}
    for _ in range(generations):
        for name, side in sides.items():
            begun = time.process_time()
            side.generation()
            times[name].append(time.process_time() - begun)
    return {name: float(np.median(each[20:])) for name, each in times.items()}


def one_thread() -> None:
    """Hold this process to one thread: torch, and the numerics under numpy."""
    torch.set_num_threads(1)
    threadpool_limits(1)


def make_all(tasks: Sequence[Task], out: Path, workers: int) -> None:
    """Make the runs that `out` does not hold, in so many processes, and say each when it ends."""
    done = {run.task for run in read(out)}
    wanted = [task for task in tasks if task not in done]
    print(f"{len(wanted)} of {len(tasks)} runs to make", flush=True)
    for run in _as_they_end(wanted, workers):
        append(out, run)
        print(*astuple(run.task), f"{run.igd:.4g} {run.hv:.4g}", flush=True)


def _as_they_end(tasks: Sequence[Task], workers: int) -> Iterator[Run]:
    if workers == 1:
        yield from map(made, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(workers, initializer=one_thread) as pool:
        yield from pool.imap_unordered(made, tasks)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the runs asked for, or print their tables, or time a generation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=GENERATIONS, default=list(GENERATIONS))
    parser.add_argument("--objectives", type=int, nargs="+", default=list(POPULATION))
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=COMPARED)
    parser.add_argument("--seeds", type=int, nargs="+", default=(), help="others, for a pilot")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("quality.csv"))
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--speed", action="store_true")
    asked = parser.parse_args(arguments)
    tasks = planned(asked.only, asked.objectives, asked.sides, asked.seeds)
    one_thread()
    if asked.speed:
        times = generation_times(250, SEEDS[0])
        for name, seconds in times.items():
            print(f"{name}: {1e3 * seconds:.2f} CPU ms a generation,", end=" ")
            print(f"{seconds / times['ours']:.2f} times ours")
    elif asked.report:
        print(tables([run for run in read(asked.out) if run.task in set(tasks)]))
    else:
        make_all(tasks, asked.out, asked.workers)


if __name__ == "__main__":
    main()
