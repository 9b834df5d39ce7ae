"""Many workers that start slowly at once: their start counts against no evaluation's limit."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import evolve
from evolve import Genetic, Needs, Objective, Score, Steady
from evolve.genomes.vector import Vector
from operators.selection import Tournament, Truncation
from operators.vector import PolynomialMutation
from tests.evolve.engine.chaos.drivers import Order, Zygote
from tests.evolve.engine.chaos.town import town
from tests.evolve.engine.problems import founders

COLD = 24
TIMEOUT, SECONDS = 2.0, 0.05  # an evaluation's limit, and what it takes
BIRTHS = 20 * COLD


@dataclass(frozen=True)
class Cold:
    """Sums of squares; a worker is set up when all of them are being set up, and not before."""

    scratch: Path
    needs: Needs = Needs(cpus=0.05, timeout=TIMEOUT)  # noqa: RUF009  (frozen)
    objectives: tuple[Objective, ...] = (Objective("loss"),)
    rungs: tuple[int, ...] = (1,)

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.__dict__.update(state)
        if not Path("/proc/self/cmdline").read_bytes().startswith(b"ray::"):
            return
        (self.scratch / f"here-{os.getpid()}").touch()
        time.sleep(TIMEOUT + 0.5)
        end = time.monotonic() + 200.0
        while len(list(self.scratch.glob("here-*"))) < COLD and time.monotonic() < end:
            time.sleep(0.05)

    def evaluate(self, genomes: Sequence[Vector], rung: int, seed: int) -> list[Score]:
        time.sleep(SECONDS)
        return [Score((float(genome.values @ genome.values),)) for genome in genomes]


def search() -> Genetic[Vector]:
    """As many births in flight as there are workers."""
    return Genetic(
        founders=founders(COLD),
        operators=[PolynomialMutation()],
        selection=Truncation(),
        mating=Tournament(),
        objectives=(Objective("loss"),),
        size=COLD,
        pace=Steady(window=COLD),
    )


@pytest.mark.soak
@pytest.mark.ray
def test_cold_workers_have_no_false_timeouts(tmp_path: Path, drivers: Zygote) -> None:
    experiment = evolve.Experiment("cold", search, Cold(tmp_path), BIRTHS)
    folder = tmp_path / "run"
    with town(nodes=1) as around:
        drivers.start(Order(experiment, folder, COLD, around.address)).ends_well()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    ready = [each["seconds"] for each in lines if each.get("detail") == "ready"]
    assert len(ready) > COLD / 2  # the run may end before the driver has heard of all
    assert min(ready) > TIMEOUT  # each start would have passed the limit
    assert len({each["worker"] for each in lines if each["kind"] == "answered"}) > COLD / 2
    assert evolve.load(folder).outcomes == {"scored": BIRTHS}
