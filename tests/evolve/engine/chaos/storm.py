"""Kills drivers, workers and nodes at random moments of one run, and counts what hit."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import evolve
from evolve.failure import Policy
from tests.evolve.engine.chaos.drivers import Driver, Order, Zygote
from tests.evolve.engine.chaos.ledgers import Witness, sound, wasted
from tests.evolve.engine.chaos.mischief import Mischief
from tests.evolve.engine.chaos.town import CPUS, Town
from tests.evolve.engine.kills import scored
from tests.evolve.engine.problems import dtlz_search

WORKERS = 4
DRIVER, WORKER, NODE = "driver", "worker", "node"
AT_ONCE = 0.15  # share of the kills that follow upon another one: into a start, or a recovery
PATIENT = Policy(
    worker_lost=99, node_lost=99, out_of_memory=99, timeout=99, exception=99, invalid=99
)


@dataclass(frozen=True)
class Kills:
    """How many are to hit."""

    drivers: int
    workers: int
    nodes: int

    @property
    def wasted(self) -> int:
        """Attempts that they may cost: all in flight at each."""
        return self.drivers * WORKERS + self.workers + self.nodes * CPUS


@dataclass(frozen=True)
class Report:
    """What a storm has done, and what it has cost."""

    births: int
    kills: Kills
    injected: int  # first attempts that did mischief
    wasted: int  # attempts beyond one a birth
    lost: int  # scores that were in the ledger and are not, or are others
    sound: bool
    digest: str
    seconds: float

    def __str__(self) -> str:
        k = self.kills
        return (
            f"{self.births} births, {k.drivers} driver, {k.workers} worker and {k.nodes} node "
            f"kills, {self.injected} first attempts that crashed, hung, raised or ran out of "
            f"memory: {self.lost} scores lost, {self.wasted} attempts wasted (at most "
            f"{k.wasted + self.injected} were in flight), {self.seconds:.0f} s"
        )


def experiment(births: int, fitness: Mischief) -> evolve.Experiment[evolve.Genome]:
    """Steady NSGA-III on DTLZ2, eight births in flight; no kill makes a birth give up."""
    return evolve.Experiment("storm", dtlz_search, fitness, births, policy=PATIENT)  # type: ignore[arg-type]


class Storm:
    """One run, killed again and again until it is whole."""

    def __init__(
        self, town: Town, zygote: Zygote, scratch: Path, births: int, aims: Kills, seed: int
    ) -> None:
        self._town, self._zygote = town, zygote
        marks = scratch / "marks"
        marks.mkdir(parents=True)
        self._fitness = Mischief(marks)
        self._folder, self._births = scratch / "run", births
        self._chance = random.Random(seed)
        self._hits = dict.fromkeys((DRIVER, WORKER, NODE), 0)
        kinds = [DRIVER] * aims.drivers + [WORKER] * aims.workers + [NODE] * aims.nodes
        self._chance.shuffle(kinds)
        moments = sorted(self._chance.random() * births * 0.9 for _ in kinds)
        self._plan = list(zip(kinds, moments))
        self._witness = Witness(self._folder)
        self._nodes = len(town.nodes)
        self._driver: Driver | None = None

    def blow(self) -> Report:
        """Until the last birth."""
        began = time.monotonic()
        self._start()
        for kind, moment in self._plan:
            if self._chance.random() < AT_ONCE:
                self._await(0.9 * self._births, patience=self._chance.random() * 3.0)
            else:
                self._await(moment)
                time.sleep(self._chance.random() * 0.05)
            while not self._hit(kind):
                assert scored(self._folder) < self._births, f"the run is over before a {kind}"
                time.sleep(0.02)
        assert self._driver is not None
        self._driver.ends_well(600.0)
        self._witness.look()
        return Report(
            births=self._births,
            kills=Kills(self._hits[DRIVER], self._hits[WORKER], self._hits[NODE]),
            injected=len(self._fitness.done()),
            wasted=wasted(self._folder),
            lost=self._witness.lost,
            sound=sound(self._folder),
            digest=evolve.load(self._folder).digest,
            seconds=time.monotonic() - began,
        )

    def _start(self) -> None:
        work = experiment(self._births, self._fitness)
        order = Order(work, self._folder, WORKERS, self._town.address, elastic=True)
        self._driver = self._zygote.start(order)

    def _await(self, moment: float, patience: float | None = None) -> None:
        """Until so many births are scored, or for so many seconds."""
        end = time.monotonic() + (300.0 if patience is None else patience)
        while scored(self._folder) < moment:
            self._check()
            if time.monotonic() > end:
                assert patience is not None, "the run stands still"
                return
            time.sleep(0.005)

    def _check(self) -> Driver:
        """The driver, which lives or has ended well."""
        assert self._driver is not None
        if self._driver.status not in (None, 0):
            self._driver.ends_well()
        return self._driver

    def _hit(self, kind: str) -> bool:
        """Kill one of `kind`, if there is one at work."""
        driver = self._check()
        self._town.look()
        self._witness.look()
        if driver.status is not None:
            return False
        if kind == DRIVER:
            driver.kill()
            hit = driver.wait(30.0) == -signal.SIGKILL
            self._start()
        elif kind == WORKER:
            hit = self._hit_worker()
        else:
            hit = self._hit_node()
        self._hits[kind] += hit
        return hit

    def _hit_worker(self) -> bool:
        workers = [pid for node in self._town.nodes for pid in node.workers()]
        if workers:
            with suppress(ProcessLookupError):
                os.kill(self._chance.choice(workers), signal.SIGKILL)
                return True
        return False

    def _hit_node(self) -> bool:
        """Kill a node that has workers, be it the last one; another one comes."""
        used = [node for node in self._town.nodes if node.workers()]
        if not used:
            return False
        self._town.kill(self._chance.choice(used))
        while len(self._town.nodes) + self._town.coming < self._nodes:
            self._town.add()
        return True
