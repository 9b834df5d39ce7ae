"""Who drives two workers through evaluations that cost nothing: ours, Ray Tune, evotorch, Optuna.

Each runs a number of evaluations of ten genes, whose score is how far the first one is from 0.5,
and tells the clock after each that its search has learned of; it knows nothing of tables. All
persistence is as it comes. What each does, and what it does not:

- ours: `Genetic` under truncation, 8 births in flight, two Ray actors, every birth in the ledger;
  also with calls of 4 births, half the window, which is how evotorch splits a population of 8.
- Ray Tune: random search, a class Trainable of one step, two trials at once, actors reused.
- evotorch: SNES, its population split between two Ray actors, one message each; a generation is a
  barrier. Also with a message a solution, as we send it. Unseeded: version 0.6.1 raises otherwise.
- Optuna: random search, `optimize(n_jobs=2)`: two threads in the driver, so no message is sent at
  all; a trial is two or three transactions of the storage.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from evolve import Experiment, Genetic, Needs, Record, Steady
from evolve.engine.hire import Options
from evolve.engine.run import conduct
from evolve.genomes.vector import Box, Vector
from fitness.problems import Problem
from operators.selection import Tournament, Truncation
from operators.vector import PolynomialMutation

N_GENES, N_WORKERS = 10, 2


@dataclass(frozen=True)
class Reading:
    """The driver's clocks after `done` evaluations, in seconds."""

    done: int
    cpu: float
    wall: float


@dataclass(frozen=True)
class Clock:
    """Reads the time this process, with all its threads, has taken."""

    readings: list[Reading] = field(default_factory=list)

    def __call__(self, done: int) -> None:
        self.readings.append(Reading(done, time.process_time(), time.perf_counter()))


Drive = Callable[[int, Path, Clock], None]
"""Make so many evaluations; what is kept goes below the folder."""


@dataclass(frozen=True)
class Driver:
    """`packages` that it needs, its own first; `evaluations` of a turn: some seconds' work.

    `durable`: what is kept of the told evaluations when the driver is killed.
    """

    name: str
    packages: tuple[str, ...]
    drive: Drive
    evaluations: int
    durable: str

    def installed(self) -> str | None:
        """The version, or None."""
        if any(importlib.util.find_spec(package) is None for package in self.packages):
            return None
        return importlib.metadata.version(self.packages[0])


# --- ours --------------------------------------------------------------------------------------


def experiment(births: int, batch: int = 1) -> Experiment[Vector]:
    """Truncation to 20, eight births in flight, `batch` births a call."""

    def no_op(x: np.ndarray, m: int) -> tuple[float]:  # inside: no worker imports this module
        return (abs(float(x[0]) - 0.5),)

    problem = Problem(no_op, needs=Needs(batch=batch))

    def search() -> Genetic[Vector]:
        rng = np.random.default_rng(0)
        return Genetic(
            founders=[Vector.random(Box.of(0.0, 1.0, N_GENES), rng) for _ in range(8)],
            operators=[PolynomialMutation()],
            selection=Truncation(),
            mating=Tournament(),
            objectives=problem.objectives,
            size=20,
            pace=Steady(window=8),
        )

    return Experiment("overhead", search, problem, births)


@dataclass(frozen=True)
class Ticking:
    """A watcher that reads the clock."""

    clock: Clock
    counter: Any = field(default_factory=partial(itertools.count, 1))

    def started(self, experiment: Experiment[Any], births: int) -> None: ...
    def resumed(self, told: int, elites: Sequence[Record[Any]]) -> None: ...
    def says(self, words: str) -> None: ...

    def told(self, record: Record[Any]) -> None:
        self.clock(next(self.counter))


def ours(births: int, out: Path, clock: Clock, batch: int = 1) -> None:
    conduct(experiment(births, batch), out, Options(N_WORKERS), watcher=Ticking(clock))


# --- peers -------------------------------------------------------------------------------------


def ray_tune(trials: int, out: Path, clock: Clock) -> None:
    from ray import tune

    class Trial(tune.Trainable):  # its module is not imported by workers
        def setup(self, config: dict[str, float]) -> None:
            self.first = config["x0"]

        def step(self) -> dict[str, Any]:
            return {"f1": abs(self.first - 0.5), "done": True}

        def reset_config(self, new_config: dict[str, float]) -> bool:
            self.first = new_config["x0"]
            return True

        def save_checkpoint(self, checkpoint_dir: str) -> None: ...

    class Tick(tune.Callback):
        counter = itertools.count(1)

        def on_trial_complete(self, *args: object, **info: object) -> None:
            clock(next(self.counter))

    tune.Tuner(
        Trial,
        param_space={f"x{i}": tune.uniform(0.0, 1.0) for i in range(N_GENES)},
        tune_config=tune.TuneConfig(
            metric="f1",
            mode="min",
            num_samples=trials,
            max_concurrent_trials=N_WORKERS,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(storage_path=str(out), verbose=0, callbacks=[Tick()]),
    ).fit()


def evotorch(
    evaluations: int, out: Path, clock: Clock, population: int = 8, message: int | None = None
) -> None:
    from evotorch import Problem as Minimised
    from evotorch.algorithms import SNES

    problem = Minimised(
        "min",
        lambda x: (x[0] - 0.5).abs(),
        solution_length=N_GENES,
        initial_bounds=(0.0, 1.0),
        num_actors=N_WORKERS,
        subbatch_size=message,
    )
    search = SNES(problem, popsize=population, stdev_init=0.1)
    for generation in range(evaluations // population):
        search.step()
        clock((generation + 1) * population)
    problem.kill_actors()


def optuna_sqlite(trials: int, out: Path, clock: Clock) -> None:
    out.mkdir(parents=True)
    _optimize(f"sqlite:///{out / 'study.sqlite'}", trials, clock)


def optuna_journal(trials: int, out: Path, clock: Clock) -> None:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    out.mkdir(parents=True)
    _optimize(JournalStorage(JournalFileBackend(str(out / "study.log"))), trials, clock)


def _optimize(storage: Any, trials: int, clock: Clock) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
    counter = itertools.count(1)

    def objective(trial: optuna.Trial) -> float:
        first, *_ = [trial.suggest_float(f"x{i}", 0.0, 1.0) for i in range(N_GENES)]
        return abs(first - 0.5)

    study.optimize(
        objective,
        n_trials=trials,
        n_jobs=N_WORKERS,
        callbacks=[lambda study, trial: clock(next(counter))],
    )


DRIVERS = (
    Driver("ours", ("evolve",), ours, 3_000, "each evaluation"),
    Driver("ours, 4 births a call", ("evolve",), partial(ours, batch=4), 3_000, "each evaluation"),
    Driver("Ray Tune", ("ray", "tensorboardX"), ray_tune, 300, "a snapshot now and then"),
    Driver(
        "evotorch, population 8, one by one",
        ("evotorch",),
        partial(evotorch, message=1),
        2_000,
        "nothing",
    ),
    Driver("evotorch, population 8", ("evotorch",), evotorch, 4_000, "nothing"),
    Driver(
        "evotorch, population 100",
        ("evotorch",),
        partial(evotorch, population=100),
        20_000,
        "nothing",
    ),
    Driver("Optuna, SQLite", ("optuna",), optuna_sqlite, 200, "each evaluation"),
    Driver("Optuna, journal", ("optuna",), optuna_journal, 400, "each evaluation"),
)
