"""One run on a town in which one thing goes wrong: what was done, and what the ledger says."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import evolve
from evolve import Needs
from tests.evolve.engine.chaos.drivers import Driver, Order, Zygote
from tests.evolve.engine.chaos.ledgers import Attempt, attempts, sound
from tests.evolve.engine.chaos.mischief import Mischief
from tests.evolve.engine.chaos.town import Node, Town
from tests.evolve.engine.problems import dtlz_search

BIRTHS = 24
WORKERS = 2


def until(true: Callable[[], Any], patience: float = 60.0) -> float:
    """Wait for something; the seconds it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < patience, "it does not happen"
        time.sleep(0.01)
    return time.monotonic() - began


@dataclass
class Scene:
    """A run of `BIRTHS` births; `deed` is done once, by the first evaluation of all."""

    town: Town | None
    zygote: Zygote
    scratch: Path
    deed: str = ""
    needs: Needs = field(default_factory=Needs)
    seconds: float = 0.02  # an evaluation
    births: int = BIRTHS
    workers: int = WORKERS
    host: str = ""
    setup: float = 0.0

    def __post_init__(self) -> None:
        marks = self.scratch / "marks"
        marks.mkdir(parents=True, exist_ok=True)
        deeds = (self.deed,) if self.deed else ()
        self.fitness = Mischief(
            marks,
            deeds,
            once=True,
            needs=self.needs,
            seconds=self.seconds,
            host=self.host,
            setup=self.setup,
        )
        self.folder = self.scratch / "run"

    def experiment(self) -> evolve.Experiment[Any]:
        """What is run."""
        return evolve.Experiment("scene", dtlz_search, self.fitness, self.births)

    def start(self) -> Driver:
        """A driver that begins the run, or goes on with it."""
        where = self.town and self.town.address
        return self.zygote.start(Order(self.experiment(), self.folder, self.workers, where))

    def play(self) -> Scene:
        """From the first birth to the last."""
        self.start().ends_well()
        return self

    def held(self, workers: int) -> list[int]:
        """Wait until so many evaluations are held; their processes."""
        until(lambda: len(self.fitness.held()) >= workers)
        return self.fitness.held()

    def node_of(self, pid: int) -> Node:
        """Where a worker is."""
        assert self.town is not None
        return next(node for node in self.town.nodes if pid in node.children())

    def attempts(self, outcome: str) -> list[Attempt]:
        """Those that ended so."""
        return [each for each in attempts(self.folder) if each.outcome == outcome]

    def one(self, outcome: str) -> tuple[Attempt, Attempt]:
        """The one attempt that failed, in this way, and the one that followed."""
        every = attempts(self.folder)
        (failed,) = [each for each in every if each.outcome != "scored"]
        assert failed.outcome == outcome, failed.detail
        (following,) = [
            each for each in every
            if each.birth == failed.birth and each.attempt == failed.attempt + 1
        ]  # fmt: skip
        assert following.outcome == "scored"
        return failed, following

    def went_on(self, digest: str) -> bool:
        """To its last birth, as if nothing had gone wrong."""
        run = evolve.load(self.folder)
        return sound(self.folder) and len(run.records) == self.births and run.digest == digest


def lasted(attempt: Attempt) -> float:
    """Seconds from an attempt's beginning to its end."""
    assert attempt.ended is not None
    return attempt.ended - attempt.started


def recovered(failed: Attempt, following: Attempt) -> float:
    """Seconds from an attempt's end to the next one's beginning."""
    assert failed.ended is not None
    return following.started - failed.ended
