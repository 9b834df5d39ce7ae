"""What a driver costs: its CPU time per evaluation, with a fitness that does nothing.

    python -m experiments.benchmarks.overhead [--quick | --resume] [--turns 3] [--out DIR]

One local Ray cluster for all. Each turn runs every driver of `drivers` once, one after the other,
each in a fresh process that joins the cluster. Read are the clocks of that process, all its
threads, after each evaluation: what is between the first tenth and the last one counts, so no
start of a cluster, an actor or a worker does, nor any end. Medians over the turns.

`--resume`: seconds from the call that resumes a run of 10,000 births to the first dispatch of a
new one, in a fresh process that has joined the cluster, workers not yet started.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from evolve import Experiment
from evolve.engine.events import Event, Kind
from evolve.engine.hire import Options
from evolve.engine.run import conduct
from experiments import dtlz
from experiments.benchmarks.drivers import DRIVERS, N_WORKERS, Clock, Driver, Reading, experiment
from experiments.benchmarks.selection import at_most, figures, print_row

MS_A_BIRTH = 2.0  # at most
SECONDS_TO_RESUME = 3.0
KEPT, MORE = 10_000, 8  # births of a run to resume, and new ones

Build = Callable[[int], Experiment[Any]]
T = TypeVar("T")


def nsga3(births: int) -> Experiment[Any]:
    """experiments/dtlz.py"""
    return replace(dtlz.experiment, births=births)


BUILDS: Mapping[str, Build] = {
    "Truncation, 1 objective, size 20": experiment,
    "NSGA-III, 3 objectives, size 24": nsga3,
}


@dataclass(frozen=True)
class Cost:
    """What one evaluation took of the driver, in ms."""

    cpu: float
    wall: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one turn, a tenth as long")
    parser.add_argument("--resume", action="store_true", help="time to the first dispatch instead")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a new folder for what they keep and say")
    given = parser.parse_args(arguments)
    turns = 1 if given.quick else given.turns
    with tempfile.TemporaryDirectory() as scratch, cluster() as address:
        out = given.out or Path(scratch)
        if given.resume:
            resume_table(KEPT // 10 if given.quick else KEPT, turns, out, address)
        else:
            shares = 10 if given.quick else 1
            drivers = [replace(d, evaluations=d.evaluations // shares) for d in present()]
            overhead_table(drivers, turns, out, address)
    return 0


def present() -> list[Driver]:
    """The drivers that are installed; says what the others need."""
    found = []
    for driver in DRIVERS:
        version = driver.installed()
        if version is None:
            print(f"{driver.name} is left out: pip install -e '.[bench]'")
        else:
            found.append(driver)
            print(f"{driver.name}: {driver.packages[0]} {version}")
    return found


def overhead_table(drivers: Sequence[Driver], turns: int, out: Path, address: str) -> None:
    """A row a driver; the first is ours."""
    costs: dict[str, list[Cost]] = {driver.name: [] for driver in drivers}
    for turn in range(turns):
        for i, driver in enumerate(drivers):
            place = out / f"{i}-{turn}"
            readings = fresh(measured, driver, place, address, place.with_suffix(".log"))
            costs[driver.name].append(per_evaluation(readings))
    print("\nPer evaluation, of the driver's process.\n")
    heads = ["driver", "CPU ms (goal)", "/ ours", "wall ms", "/ ours", "evaluations", "durable"]
    print_row(heads)
    print_row(["---", *["---:"] * 5, "---"])
    mine = median(costs[drivers[0].name])
    for driver in drivers:
        cost = median(costs[driver.name])
        limit = MS_A_BIRTH if driver is drivers[0] else None
        print_row(
            [
                driver.name,
                at_most([cost.cpu], limit),
                figures([cost.cpu / mine.cpu]),
                figures([cost.wall]),
                figures([cost.wall / mine.wall]),
                f"{driver.evaluations:,}",
                driver.durable,
            ]
        )


def per_evaluation(readings: Sequence[Reading]) -> Cost:
    """Between the first reading after a tenth of the evaluations and the last reading."""
    last = max(readings, key=lambda reading: reading.done)
    first = next(reading for reading in readings if reading.done >= last.done / 10)
    if (n := last.done - first.done) == 0:
        raise ValueError(f"{len(readings)} readings, all of {last.done} evaluations; give more.")
    return Cost(1e3 * (last.cpu - first.cpu) / n, 1e3 * (last.wall - first.wall) / n)


def median(costs: Sequence[Cost]) -> Cost:
    """Of each clock."""
    return Cost(
        statistics.median(cost.cpu for cost in costs),
        statistics.median(cost.wall for cost in costs),
    )


def resume_table(births: int, turns: int, out: Path, address: str) -> None:
    """A row a search."""
    print_row(["search", "births", "resume to first dispatch, s (goal)", "each turn, s"])
    print_row(["---", "---:", "---:", "---"])
    for i, (name, build) in enumerate(BUILDS.items()):
        whole, log = out / f"resume-{i}", out / f"resume-{i}.log"
        fresh(finished, build, births, whole, log)
        taken = []
        for turn in range(turns):
            copy = shutil.copytree(whole, out / f"resume-{i}-{turn}")
            taken.append(fresh(resumed, build, births, copy, address, log))
        cell = at_most([statistics.median(taken)], SECONDS_TO_RESUME)
        print_row([name, f"{births:,}", cell, figures(taken)])


# --- in a process of its own -------------------------------------------------------------------


def fresh(call: Callable[..., T], *arguments: object) -> T:
    """What `call` returns, in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        return process.submit(call, *arguments).result()


def measured(driver: Driver, out: Path, address: str, log: Path) -> list[Reading]:
    """The clock's readings of one run."""
    clock = Clock()
    with said_to(log), joined(address):
        driver.drive(driver.evaluations, out, clock)
    return clock.readings


def finished(build: Build, births: int, out: Path, log: Path) -> None:
    """A run of `births`, made in this process."""
    with said_to(log):
        conduct(build(births), out)


def resumed(build: Build, births: int, out: Path, address: str, log: Path) -> float:
    """Seconds from the call to the first dispatch."""
    longer = build(births + MORE)
    dispatched: list[float] = []

    def observe(event: Event) -> None:
        if event.kind is Kind.DISPATCHED:
            dispatched.append(time.perf_counter())

    with said_to(log), joined(address):
        start = time.perf_counter()
        options = Options(N_WORKERS)
        conduct(longer, out, options, resume=True, births=longer.births, observers=[observe])
    return dispatched[0] - start


@contextmanager
def said_to(log: Path) -> Iterator[None]:
    """What this process prints from here on goes to `log`, children and libraries included."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        yield


@contextmanager
def joined(address: str) -> Iterator[None]:
    """Connected to the cluster at `address`."""
    import ray

    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def cluster() -> Iterator[str]:
    """The address of the cluster that this process is connected to, else of one for now."""
    import ray

    ours = not ray.is_initialized()
    if ours:
        ray.init(
            address="local",
            num_cpus=N_WORKERS,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    try:
        yield ray.get_runtime_context().gcs_address
    finally:
        if ours:
            ray.shutdown()


if __name__ == "__main__":
    sys.exit(main())
