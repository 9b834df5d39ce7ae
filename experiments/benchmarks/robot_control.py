"""NSGA-III beside MOEA/D and HypE on a running cheetah: hypervolume at equal evaluations.

    python -m experiments.benchmarks.robot_control [--seeds 0 1 2] [--processes 2] [--out DIR]

The runs of experiments/robot_control.py, one a method and seed, each a ledger below `--out`, so
that a second call goes on where the first was stopped. All methods of a seed start from the same
population, with the same operators but MOEA/D's own crossover. Every run is in the table: the
volume over evaluations against the fixed `REFERENCE`, and once more the last front's on starts
that no run has seen. Draws all fronts in one picture. Knows nothing of time.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import moocore
import numpy as np
import torch
from evox.core import Algorithm

import evolve
from evolve.search.islands import population
from experiments import robot_control
from experiments.robot_control import GENERATIONS, POPULATION, REFERENCE, STINTS

METHODS: Mapping[str, Callable[[], Algorithm]] = {
    "NSGA-III": robot_control.nsga3,
    "MOEA/D": robot_control.moead,
    "HypE": robot_control.hype,
}
INKS = {"NSGA-III": "#2f6fb0", "MOEA/D": "#d7263d", "HypE": "#3b8a3a"}
SEEDS = 0, 1, 2
UNSEEN = tuple(range(1000, 1005))  # starts of the robot, for the last column
SHOWN = 1, 5, 10, 20  # stints


@dataclass(frozen=True)
class Outcome:
    """volumes: after each stint. front: (n, 2) costs, by speed. unseen: the volume on UNSEEN."""

    method: str
    seed: int
    volumes: tuple[float, ...]
    front: np.ndarray
    unseen: float


def outcome(method: str, seed: int, stints: int, out: Path) -> Outcome:
    """Make or finish one run, and measure its last population."""
    torch.set_num_threads(1)
    folder = out / f"{method.replace('/', '')}-{seed}"
    experiment = robot_control.run_of(METHODS[method], seed, stints)
    run = evolve.run(experiment, folder, resume=(folder / "ledger.sqlite").exists())
    if failed := [record.score.error for record in run.records if record.score.error]:
        raise RuntimeError(f"{folder} has failed stints, its first: {failed[0]}")
    pop, fit = population(run.records)
    best = moocore.is_nondominated(fit)
    front = fit[best][fit[best][:, 0].argsort()]
    elsewhere = replace(robot_control.robot, seeds=UNSEEN)
    again = elsewhere.evaluate(torch.from_numpy(pop[best])).numpy()
    volumes = tuple(record.score.values[0] for record in run.records)
    return Outcome(method, seed, volumes, front, volume(again))


def volume(costs: np.ndarray) -> float:
    """Hypervolume of (n, 2) costs against REFERENCE."""
    return float(moocore.hypervolume(costs.astype(np.float64), ref=np.array(REFERENCE)))


def table(outcomes: Sequence[Outcome]) -> str:
    """A row a run, then the medians of each method, in Markdown."""
    shown = [stint for stint in SHOWN if stint <= len(outcomes[0].volumes)]
    evaluations = [stint * GENERATIONS * POPULATION for stint in shown]
    heads = ["method", "seed", *(f"{n:,} evaluations" for n in evaluations)]
    heads += ["unseen starts", "fastest m/s (effort)", "stillest effort (m/s)"]
    rows = [heads, ["---"] * len(heads)]
    for each in outcomes:
        fast, still = each.front[0], each.front[-1]
        rows.append(
            [
                each.method,
                str(each.seed),
                *(f"{each.volumes[stint - 1]:.3f}" for stint in shown),
                f"{each.unseen:.3f}",
                f"{-fast[0]:.2f} ({fast[1]:.2f})",
                f"{still[1]:.2f} ({-still[0]:.2f})",
            ]
        )
    for method in dict.fromkeys(each.method for each in outcomes):
        own = [each for each in outcomes if each.method == method]
        medians = [np.median([each.volumes[stint - 1] for each in own]) for stint in shown]
        medians.append(np.median([each.unseen for each in own]))
        rows.append([method, "median", *(f"{value:.3f}" for value in medians), "", ""])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """The fronts, one line a run: what speed each effort buys."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 5.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    named: set[str] = set()
    for each in outcomes:
        label = "_" if each.method in named else each.method
        named.add(each.method)
        x, y = each.front[:, 1], -each.front[:, 0]
        axes.plot(x, y, "o-", color=INKS[each.method], label=label, ms=3, lw=0.9, alpha=0.75)
    axes.axhline(0, color="#8a9099", lw=0.6)
    axes.set_xlabel("effort: squared actions of the six motors, summed")
    axes.set_ylabel("forward speed, m/s")
    axes.set_title(f"HalfCheetah, {len(outcomes)} runs: the speed that effort buys", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(path)


def main() -> None:
    """Make every run, print the table, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--stints", type=int, default=STINTS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/robots"))
    parser.add_argument(
        "--picture", type=Path, default=Path("experiments/pictures/robot_control.png")
    )
    asked = parser.parse_args()
    tasks = [(method, seed) for seed in asked.seeds for method in METHODS]
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(asked.processes, mp_context=fresh) as pool:
        waiting = [
            pool.submit(outcome, method, seed, asked.stints, asked.out) for method, seed in tasks
        ]
        outcomes = [each.result() for each in waiting]
    outcomes.sort(key=lambda each: list(METHODS).index(each.method))
    print(table(outcomes))
    draw(outcomes, asked.picture)
    print(f"The fronts are drawn in {asked.picture}")


if __name__ == "__main__":
    main()
